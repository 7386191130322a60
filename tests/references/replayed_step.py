"""A whole training step of a pretended GPU, recorded once and replayed as a CUDA graph would be.

The replay reads and writes the memory of the recorded step, with its constants; those that a later
step has in their place may be given.
"""

from pretended_gpu import OnGPU, PretendedGPU, on_cpu
from torch.utils._pytree import tree_flatten, tree_map


class Tape(PretendedGPU):
    """A pretended GPU that can record; `taped` holds operations, arguments and results."""

    def __init__(self):
        super().__init__()
        self.taped, self.recording = [], False

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Do it, and record it."""
        result = super().__torch_dispatch__(func, types, args, kwargs)
        if self.recording:
            self.taped.append((func, args, kwargs or {}, result))
        return result

    def replay(self, numbers):
        """Run what was recorded, with other numbers: (operation, recorded) -> in its place."""
        for func, args, kwargs, result in self.taped:
            name = func._schema.name.split("::")[1]
            own, named = tree_map(lambda each, of=name: inner(each, of, numbers), (args, kwargs))
            infos = [each.alias_info for each in func._schema.returns]
            if any(info is not None and not info.is_write for info in infos):
                continue  # a view of memory that is there
            found = tree_flatten(func(*own, **named))[0]
            for place, values in zip(tree_flatten(result)[0], found, strict=True):
                if isinstance(place, OnGPU) and place.values is not values:
                    place.values.copy_(values)


def inner(value, name, numbers):
    """Return what an operation below the pretended GPU takes."""
    if isinstance(value, OnGPU):
        return value.values
    return numbers.get((name, value), value) if isinstance(value, float) else on_cpu(value)


def floats(operations):
    """Return (operation, number) for each number of the host, in order."""
    return [(each[0], one) for each in operations for one in each if isinstance(one, float)]
