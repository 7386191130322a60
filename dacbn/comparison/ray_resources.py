"""What a cell asks Ray for, and for how many cells there is room."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from dacbn.comparison.plan import Plan
from dacbn.spelling import spell


class Share(NamedTuple):
    """The resources of a cell.

    Attributes:
        cpus: CPUs.
        gpus: GPUs.
        places: how many cells the machines can train at once.
    """

    cpus: int
    gpus: float
    places: int


def share_of(nodes: Iterable[Mapping[str, Any]], plan: Plan, cpus: int, device: str) -> Share:
    """Return the resources of a cell; GPUs are asked for only where there are some.

    Ray would wait for ever for what no machine has.

    Args:
        nodes: the machines, as `ray.nodes()` lists them.
        plan: what was asked for.
        cpus: CPUs of a cell.
        device: the device of the cells.

    Raises:
        ValueError: no machine has as much.
    """
    machines = [node["Resources"] for node in nodes if node["Alive"]]
    kinds = ("CPU", "GPU")
    most = {kind: max((each.get(kind, 0) for each in machines), default=0) for kind in kinds}
    where = "this machine" if plan.ray is None else "the cluster"
    gpus = plan.gpus
    if gpus is None:
        gpus = 0 if device == "cpu" else min(1, most["GPU"] / (plan.workers or 1))
    if gpus > 0 and not most["GPU"]:
        raise ValueError(f"{where} has no GPU: leave out {spell('gpus')}")
    for name, kind, asked in (("cpus", "CPU", cpus), ("gpus", "GPU", gpus)):
        if asked > most[kind]:
            raise ValueError(
                f"a cell asks for {asked:g} {kind}s, and no machine of {where} has more than "
                f"{most[kind]:g}: give {spell(name, int(most[kind]))}"
            )
    return Share(cpus, gpus, sum(_places(each, cpus, gpus) for each in machines))


def _places(machine: Mapping[str, float], cpus: int, gpus: float) -> int:
    room = machine.get("CPU", 0) // cpus
    if gpus:
        each = machine.get("GPU", 0)
        room = min(room, int(each) * int(1 / gpus + 1e-9) if gpus < 1 else each // gpus)
    return int(room)
