"""The command that repeats a training."""

from dacbn.spelling import quote, to_words
from dacbn.training.automatic import automatic_values, decide
from dacbn.training.config import TrainConfig
from dacbn.training.roles import Role
from dacbn.training.setting_groups import NO_TARGET


def train_command(config: TrainConfig) -> str:
    """Return `dacbn train` with the settings that name a run, and all that are not the default."""
    words, default = ["dacbn", "train"], {**vars(type(config)()), **automatic_values(config)}
    always = config.names(Role.NAMING | Role.VARIED)
    for name, value in vars(decide(config)).items():
        if value != default[name] or name in always:
            words += to_words(name, NO_TARGET if name == "target" and not value else value)
    return " ".join(map(quote, words))
