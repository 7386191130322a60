"""The device that a name stands for, on this machine."""

import torch

from dacbn.processes import Launched
from dacbn.spelling import spell


def choose_device(name: str) -> torch.device:
    """Return the device of this name; "auto" is a GPU if there is one, else the CPU.

    Raises:
        ValueError: torch does not know the name, or this machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and torch.cuda.is_available() and (launched := Launched.read()):
        count = torch.cuda.device_count()
        if launched.local_rank >= count:
            raise ValueError(
                f"{launched.local_count or launched.local_rank + 1} processes need as many GPUs, "
                f"and this machine has {count}: start {count}, or choose {spell('device', 'cpu')}"
            )
        return torch.device("cuda", launched.local_rank)
    if name == "cpu":
        return torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
        if device.type == "meta":
            raise RuntimeError("it holds no numbers")
    except (RuntimeError, AssertionError, ImportError) as error:  # by kind of device
        known = ["auto", "cpu", *(f"cuda:{number}" for number in range(torch.cuda.device_count()))]
        cure = " or ".join(spell("device", each) for each in known)
        reason = str(error).splitlines()[0].partition(". ")[0]
        raise ValueError(
            f"cannot use device {name!r} on this machine ({reason}): choose {cure}"
        ) from error
    return device
