"""The machine that trains: hardware and versions, as comparisons record them."""

from dacbn.benchmarks import machine
from dacbn.training import choose_device

ABOUT = ("device", "threads", "python", "torch", "timm", "dacbn")


def this_machine(device: str) -> dict[str, str]:
    """Return hardware and versions of this machine, with the threads that torch uses now.

    Raises:
        ValueError: there is no such device.
    """
    about = machine(str(choose_device(device)))
    return {name: about[name] for name in ABOUT}
