#!/usr/bin/env bash
# A compiled training step has wrong gradients where it moves a buffer that it has read.
#
# A layer reads a running statistic, and then moves it in place under torch.no_grad(), as a moving
# average does. In eager mode the gradient is that of the value that was read: b.clone(), b + 1 or
# (x - b) are new tensors. torch.compile derives what is cheap to derive anew in the backward pass,
# from the buffer, which the forward graph has moved by then: the output is right, the gradient is
# that of another function, and nothing is said, neither by "aot_eager" nor by "inductor". That
# of "aot_eager_default_partitioner" is right, because it keeps what it needs. A copy by an operator
# that the compiler does not know (torch.library.custom_op) is kept, and cures it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet "torch==2.14.1" "numpy==2.4.6"
"$work/venv/bin/python" - <<'PYTHON'
import torch

print(f"torch {torch.__version__}")


@torch.library.custom_op("finding::copied", mutates_args=())
def copied(b: torch.Tensor) -> torch.Tensor:
    return b.clone()


@copied.register_fake
def _(b):
    return torch.empty_like(b)


def step(copy):
    def call(x, b):
        y = x * copy(b)  # dy / dx is b as it was here
        with torch.no_grad():
            b.lerp_(x.detach().mean(0), 0.5)
        return y

    return call


def gradient(call):
    x = torch.full((2, 3), 4.0, requires_grad=True)
    b = torch.full((3,), 2.0)
    y = call(x, b)
    y.sum().backward()
    assert y[0, 0] == 8 and b[0] == 3  # the output and the buffer are right everywhere
    return x.grad[0, 0].item()


found = {"eager": gradient(step(torch.clone))}
for backend in ("aot_eager_default_partitioner", "aot_eager", "inductor"):
    for name, copy in (("", torch.clone), (", copied by an operator", copied)):
        torch.compiler.reset()
        compiled = torch.compile(step(copy), fullgraph=True, backend=backend)
        found[backend + name] = gradient(compiled)
for name, value in found.items():
    print(f"{name}: dy / dx = {value}")
wrong = {name for name, value in found.items() if value != 2}
assert wrong == {"aot_eager", "inductor"}, "this has changed"
PYTHON
