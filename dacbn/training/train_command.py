"""The command that repeats a training."""

import shlex
from typing import Any

from dacbn.training.automatic import automatic_values, decide
from dacbn.training.config import TrainConfig
from dacbn.training.roles import Role


def train_command(config: TrainConfig) -> str:
    """Return `dacbn train` with the settings that name a run, and all that are not the default."""
    words, default = ["dacbn", "train"], {**vars(type(config)()), **automatic_values(config)}
    always = config.names(Role.NAMING | Role.VARIED)
    for name, value in vars(decide(config)).items():
        if value != default[name] or name in always:
            words += _option(name.replace("_", "-"), value)
    return " ".join(map(_quote, words))


def _quote(word: str) -> str:
    """Quote a word for a shell, in double quotes if it contains single ones."""
    plain = "'" in word and not set(word) & set('"$`\\!')
    return f'"{word}"' if plain else shlex.quote(word)


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    values = value if isinstance(value, tuple) else (value,)
    return [f"--{name}", *map(str, values)]
