"""Searches in processes of their own, with a training that only waits."""

import os
import time
from pathlib import Path

from dacbn.training import TrainConfig
from dacbn.tuning import search

SPACE = "lr=log(1e-4, 1e-2) method=[mcc, dann(weight=between(0, 1))]"


def search_slowly(folder: str, photos: str, trials: int, die_in: int | None = None) -> None:
    """Search, without training; the process is killed in the trial of this number."""

    def train_trial(config: TrainConfig, run: Path, _: object) -> tuple[dict[str, float], bool]:
        if run.name == f"trial-{die_in}":
            os._exit(9)
        time.sleep(0.05)
        return {"bnm": config.lr or 0.0}, False

    search.train_trial = train_trial  # type: ignore[assignment]
    config = TrainConfig(source=f"{photos}/a", target=f"{photos}/b", image_size=32, device="cpu")
    search.tune(folder, config, SPACE, trials, ("bnm",))
