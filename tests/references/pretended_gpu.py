"""A pretended GPU: tensors that say they are on "cuda", and compute on the CPU.

No GPU is needed to see what would go wrong on one: operations on tensors of host and device, steps
in which the host waits for the device, and numbers of the host that differ from step to step.
Autograd sees the device "lazy" below Python: it runs backward passes without a driver. Kernels for
GPUs do not run, and autocast is done here, by torch's lists, for calls from Python.
"""

import traceback
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map, tree_unflatten

from dacbn.datasets import fetching
from dacbn.norms import host_value

CUDA, BELOW = torch.device("cuda", 0), torch.device("lazy")
# the host waits for values, for their number, or for whether LAPACK's work succeeded
WAITS = {
    *("_local_scalar_dense", "equal", "nonzero", "masked_select", "_unique2", "unique_dim"),
    *("unique_consecutive", "bincount", "repeat_interleave", "_linalg_check_errors"),
    *("_linalg_eigh", "_linalg_svd", "linalg_eig", "linalg_lstsq"),
}
COPIES = {"copy_", "_to_copy"}
INDEXED = {"index", "index_put", "index_put_", "_index_put_impl_"}
# https://docs.pytorch.org/docs/stable/amp.html
LOWERED = {
    *("conv1d", "conv2d", "conv3d", "linear", "matmul", "__matmul__", "__rmatmul__", "mm", "bmm"),
    *("mv", "addmm", "addmv", "addbmm", "baddbmm", "prelu", "scaled_dot_product_attention"),
}
WIDENED = {
    *("exp", "expm1", "log", "log1p", "log2", "log10", "pow", "__pow__", "__rpow__", "reciprocal"),
    *("rsqrt", "softmax", "log_softmax", "softplus", "sum", "prod", "cumsum", "cumprod", "norm"),
    *("__rdiv__", "__rtruediv__", "cdist", "dist", "renorm", "tan", "sinh", "cosh", "erfinv"),
    *("binary_cross_entropy_with_logits", "cross_entropy", "nll_loss", "mse_loss", "kl_div"),
    *("l1_loss", "smooth_l1_loss", "layer_norm", "group_norm", "normalize", "cosine_similarity"),
}


class WrongDeviceError(RuntimeError):
    """An operation on tensors of host and device."""


class OnGPU(torch.Tensor):
    """A tensor that says it is on a GPU; `values`, on the CPU, are what it would hold there."""

    @staticmethod
    def __new__(cls, values):
        """Wrap what a tensor of the device would hold."""
        shape, strides, start = values.shape, values.stride(), values.storage_offset()
        made = torch.Tensor._make_wrapper_subclass(
            cls, shape, strides, start, dtype=values.dtype, device=BELOW
        )
        made.values = values
        return made

    device = property(lambda self: CUDA)
    is_cuda = property(lambda self: True)
    is_cpu = property(lambda self: False)

    @property
    def data(self):
        """The tensor without its history."""
        return self.detach()

    @data.setter
    def data(self, new):
        torch.Tensor.data.__set__(self, new)
        self.values = new.values

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        raise RuntimeError(f"{func} outside of the pretended GPU")


class Generator(torch.Generator):
    """A generator that knows which device it is for."""

    def __new__(cls, device="cpu"):
        """Make one that draws on the CPU."""
        made = super().__new__(cls)
        made.on_gpu = str(device).startswith("cuda")
        return made


class Arguments(TorchFunctionMode):
    """Let Python say "cuda", and what is below it another device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        if func is torch.device:
            return func(*args, **kwargs)
        if name in LOWERED | WIDENED and torch.is_autocast_enabled("cuda"):
            dtype = torch.bfloat16 if name in LOWERED else torch.float32
            args, kwargs = tree_map(lambda each: in_type(each, dtype), (args, kwargs))
        if name == "one_hot" and isinstance(args[0], OnGPU) and args[-1] > 0:
            zeros = torch.zeros(*args[0].shape, args[-1], dtype=torch.int64, device=BELOW)
            return zeros.scatter(-1, args[0][..., None], 1)  # CUDA does not look at the values
        if name == "tolist" and isinstance(args[0], OnGPU):
            return args[0].cpu().tolist()
        if name == "new_tensor" and isinstance(args[0], OnGPU):
            return torch.tensor(*args[1:], dtype=args[0].dtype, **kwargs).to(BELOW)
        if "device" in kwargs or any(isinstance(each, torch.device | str) for each in args):
            args, kwargs = tree_map(named_below, (args, kwargs))
            if name in ("tensor", "as_tensor") and kwargs.get("device") == BELOW:
                return func(*args, **{**kwargs, "device": "cpu"}).to(BELOW)
        result = func(*args, **kwargs)
        generator = kwargs.get("generator")
        if generator is not None and generator.on_gpu != isinstance(result, OnGPU):
            raise WrongDeviceError(f"{name} with a generator of the other device")
        return result


def named_below(value):
    """Return the device below Python in place of the one that Python says."""
    if isinstance(value, torch.device) and value.type == "cuda":
        return BELOW
    return "lazy" if isinstance(value, str) and value.partition(":")[0] == "cuda" else value


def in_type(value, dtype):
    """Return a tensor of the device as autocast does."""
    lower = isinstance(value, OnGPU) and value.dtype in (torch.float32, torch.bfloat16)
    return value.to(dtype) if lower and value.dtype != dtype else value


class PretendedGPU(TorchDispatchMode):
    """Do what happens on the device, and write it down.

    Attributes:
        waits: operation and place in the code where the host waited, since the last `take`.
        operations: name, shapes and constants of what ran on the device since then.
    """

    def __init__(self):
        super().__init__()
        self.waits, self.operations = [], []

    @classmethod
    def ignore_compile_internals(cls):
        """Spare newer torch the import of its compiler, which takes seconds."""
        return True

    def take(self):
        """Return waits and operations, and forget them."""
        taken = self.waits, self.operations
        self.waits, self.operations = [], []
        return taken

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        flat, tree = tree_flatten((args, kwargs or {}))
        name, placed = func._schema.name.split("::")[1], (kwargs or {}).get("device")
        here = [each for each in flat if isinstance(each, OnGPU)]
        hosts = [each for each in flat if is_tensor(each) and not isinstance(each, OnGPU)]
        to_here = placed.type == "lazy" if isinstance(placed, torch.device) else bool(here)
        if here or to_here:
            self.operations.append((name, *map(describe, flat)))
        if name in COPIES and (here or to_here):
            crosses = bool(hosts) or not to_here
            blocking = not (kwargs or {}).get("non_blocking", True in args[2:])
            self.note(name, crosses and (blocking or not to_here))
        elif here and hosts:
            self.check(func, name, hosts)
        if here:
            masks = [each for each in flat[1:] if is_tensor(each) and each.dtype == torch.bool]
            self.note(name, name in WAITS or (name in INDEXED - {"index_put_"} and bool(masks)))
        inner = [each.values if isinstance(each, OnGPU) else on_cpu(each) for each in flat]
        new_args, new_kwargs = tree_unflatten(inner, tree)
        result = func(*new_args, **new_kwargs)

        def outer(each):
            if not is_tensor(each):
                return each
            pairs = zip(flat, inner, strict=True)
            given = [whole for whole, part in pairs if part is each]  # changed in place
            return given[0] if given else OnGPU(each)

        return tree_map(outer, result) if to_here else result

    def check(self, func, name, hosts):
        """Check an operation on tensors of both, which CUDA allows in two cases."""
        if name in INDEXED and not any(each.is_floating_point() for each in hosts):
            self.note(name, True)  # copies the indices
        elif any(each.ndim for each in hosts) or torch.Tag.pointwise not in func.tags:
            shapes = [tuple(each.shape) for each in hosts]
            raise WrongDeviceError(f"{name} of tensors on the device, and on the host {shapes}")

    def note(self, name, waits):
        """Write a wait down, with the line of dacbn that it is for."""
        if waits:
            frames = reversed(traceback.extract_stack())
            own = (each for each in frames if "tests" not in Path(each.filename).parts)
            place = next((each for each in own if "/torch/" not in each.filename), None)
            where = f"{Path(place.filename).name}:{place.lineno}" if place else "?"
            self.waits.append((name, where))


def is_tensor(value):
    return isinstance(value, torch.Tensor)


def on_cpu(value):
    below = isinstance(value, torch.device) and value.type == "lazy"
    return torch.device("cpu") if below else value


def describe(value):
    """Return what a captured graph keeps of an argument."""
    if is_tensor(value):
        return (
            f"{value.dtype}{tuple(value.shape)}{'' if isinstance(value, OnGPU) else ' of the host'}"
        )
    return value if isinstance(value, int | float | str | None) else type(value).__name__


@contextmanager
def pretended_gpu(kind=PretendedGPU):
    """Let "cuda" be a pretended GPU in a `with` block, and yield what records it."""
    common, plain = torch.cuda.amp.common, (*host_value.PLAIN_TYPES, OnGPU)
    patches = [
        (torch, "Generator", Generator),
        # wrapped tensors do not work in inference mode
        (torch._C, "_InferenceMode", lambda on: torch.no_grad() if on else nullcontext()),
        (torch.Tensor, "pin_memory", lambda self, *_: self),
        (torch.cuda, "_lazy_init", lambda: None),
        (torch.cuda, "is_bf16_supported", lambda *_, **__: True),
        (torch.cuda, "get_rng_state", lambda *_: torch.get_rng_state()),
        (torch.cuda, "set_rng_state", lambda *_: None),
        (torch.cuda, "synchronize", lambda *_: None),
        (torch.cuda, "mem_get_info", lambda *_: (2**33, 2**34)),
        (torch.cuda, "memory_reserved", lambda *_: 0),
        (torch.cuda, "memory_allocated", lambda *_: 0),
        (fetching, "prefetch", map),  # modes are those of one thread
        (common, "amp_definitely_not_available", lambda: False),
        (host_value, "PLAIN_TYPES", plain),  # their values are read as those of a GPU are
    ]
    with ExitStack() as stack:
        for patch in patches:
            stack.enter_context(mock.patch.object(*patch))
        gpu = kind()
        stack.enter_context(Arguments())
        yield stack.enter_context(gpu)
