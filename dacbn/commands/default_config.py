"""The defaults of a command's settings, which depend on whether the weights are pretrained."""

from itertools import pairwise

from dacbn.training import TrainConfig, starting_defaults


def default_config(words: list[str]) -> TrainConfig:
    """Return the settings that a command has where its words give none."""
    pretrained = not {"--pretrained", "--weights"}.isdisjoint(list_flags(words))
    head = ("--train", "head") in pairwise(words) or "--train=head" in words
    return TrainConfig(**starting_defaults(pretrained, "head" if head else "auto"))


def list_flags(words: list[str]) -> list[str]:
    """List the options among the words of a command, spelt as in its help."""
    flags = (word.partition("=")[0] for word in words if word.startswith("--"))
    return [flag.replace("_", "-") for flag in flags]
