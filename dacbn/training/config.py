"""All settings of a training run, with their defaults."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from dacbn import datasets
from dacbn.limits import show
from dacbn.spec import Spec
from dacbn.training.roles import Role
from dacbn.training.setting_groups import (
    DataSettings,
    NetworkSettings,
    OptimSettings,
    RecordSettings,
)
from dacbn.training.setting_names import nearest_setting


@dataclass(frozen=True)
class TrainConfig(RecordSettings, OptimSettings, NetworkSettings, DataSettings):
    """A training run. The defaults adapt scikit-learn's digits to colour in a few minutes."""

    roles = Role(0)  # a setting outside the groups has the roles in its type only

    @classmethod
    def from_options(cls, **options: Any) -> Self:
        """Build a configuration from keyword options, and check it.

        Numbers and arrays of NumPy and torch become Python's, and torch's devices become text, as
        config.json can hold.

        Raises:
            ValueError: an option is unknown (the text suggests the nearest) or its value cannot
                work.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                nearest = nearest_setting(name, known)
                hint = f" Did you mean {nearest}?" if nearest else ""
                raise ValueError(f"unknown option {show(name)}.{hint} Known: {', '.join(known)}")
        config = cls(**options)
        config.check()
        return config

    @property
    def domains(self) -> str:
        """Sources and targets in words, such as "mnist + usps → svhn"."""
        unseen = f" ({' + '.join(self.unseen)} unseen)" if self.unseen else ""
        target = " + ".join(self.target) or f"no target{unseen}"
        return f"{' + '.join(self.source)} → {target}"

    def to_json(self) -> dict[str, Any]:
        """Return the settings as values that JSON supports."""
        return {
            name: str(value) if isinstance(value, Path | Spec) else value
            for name, value in vars(self).items()
        }

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Self:
        """Return the configuration that `to_json` wrote.

        Commands in it become names: a file must not run anything.
        """
        config, record_place = cls.from_options(**fields), datasets.record_place
        return dataclasses.replace(
            config,
            source=tuple(map(record_place, config.source)),
            target=tuple(map(record_place, config.target)),
            target_labelled=tuple(map(record_place, config.target_labelled)),
            unseen=tuple(map(record_place, config.unseen)),
        )
