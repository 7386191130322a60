"""The defaults of a command's settings, which depend on whether the weights are pretrained."""

from itertools import pairwise

from dacbn.training import TrainConfig, starting_defaults


def default_config(words: list[str]) -> TrainConfig:
    """Return the settings that a command has where its words give none."""
    flags = {word.partition("=")[0].replace("_", "-") for word in words}
    pretrained = not flags.isdisjoint({"--pretrained", "--weights"})
    head = ("--train", "head") in pairwise(words) or "--train=head" in words
    return TrainConfig(**starting_defaults(pretrained, "head" if head else "auto"))
