"""The command that trains one cell of a comparison by itself."""

import shlex
from typing import Any

from dacbn.training import TrainConfig


def train_command(config: TrainConfig) -> str:
    """Write `dacbn train` with every setting that is not the default."""
    words, default = ["dacbn", "train"], vars(TrainConfig())
    for name, value in vars(config).items():
        if value != default[name] or name in ("source", "target", "norm", "method", "seed"):
            words += _option(name.replace("_", "-"), value)
    return " ".join(map(_quote, words))


def _quote(word: str) -> str:
    """Quote a word for a shell; in double quotes where that keeps it readable."""
    plain = "'" in word and not set(word) & set('"$`\\!')
    return f'"{word}"' if plain else shlex.quote(word)


def _option(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    values = value if isinstance(value, tuple) else (value,)
    return [f"--{name}", *map(str, values)]
