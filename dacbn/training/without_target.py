"""Training without a target: which methods can, and from how many sources."""

from dacbn.methods import methods
from dacbn.spelling import spell
from dacbn.training.config import TrainConfig
from dacbn.training.domain_names import num_sources
from dacbn.training.setting_groups import NO_TARGET


def check_without_target(config: TrainConfig) -> None:
    """Check that the settings can do without a target, if there is none.

    Raises:
        ValueError: a method needs a target, or more sources; or there is a target beside unseen
            domains.
    """
    if config.target:
        if config.unseen:
            raise ValueError(
                f"{spell('unseen')} is scored where there is no target: add "
                f"{spell('target', NO_TARGET)}, or leave it out"
            )
        return
    count = num_sources(config)
    able = ", ".join(name for name in methods if _fewest(name) <= count)
    for name in config.method.names:
        if methods[name].fewest_sources is None:
            raise ValueError(
                f"{name} needs a target: give one, or choose a {spell('method')} that does "
                f"without ({able})"
            )
        if count < _fewest(name):
            raise ValueError(
                f"{name} compares domains, and without a target there is one source, or several "
                f"as one: give {spell('source')} at least {_fewest(name)}, or choose a "
                f"{spell('method')} that trains on one ({able})"
            )


def _fewest(name: str) -> float:
    fewest = methods[name].fewest_sources
    return float("inf") if fewest is None else fewest
