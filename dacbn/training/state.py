"""All mutable training state, as one object to save and restore."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dacbn.methods import Objective
from dacbn.models import Network
from dacbn.training.config import TrainConfig
from dacbn.training.run_info import RunFolderError
from dacbn.training.schedules import create_optimizer
from dacbn.training.storage import first_line


@dataclass
class TrainingState:
    """Method with network, optimiser, averaged weights, and number of completed steps."""

    method: Objective
    optimizer: Optimizer
    average: AveragedModel | None
    step: int = 0

    @classmethod
    def create(cls, method: Objective, config: TrainConfig) -> "TrainingState":
        """Create the state at step 0 for a method that is on its device."""
        average = None
        if config.ema_decay is not None:
            average = AveragedModel(method.network).requires_grad_(False)
        return cls(method, create_optimizer(method, config), average)

    @property
    def network(self) -> Network:
        """The network to evaluate and save: the averaged one, if there is one."""
        network: nn.Module = self.average.module if self.average else self.method.network
        assert isinstance(network, Network)
        return network

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move the averaged weights towards the trained ones, and copy the buffers.

        This is `AveragedModel.update_parameters`, which also copies its count to the device, and
        waits for a GPU with that (torch 2.14).
        """
        assert self.average is not None
        average, network = self.average.module, self.method.network
        weights = list(average.parameters()), list(network.parameters())
        pairs = list(zip(average.buffers(), network.buffers(), strict=True))
        if self.average.n_averaged:  # on the host
            move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            move(*weights, self.average.n_averaged)
        else:
            pairs += zip(*weights, strict=True)
        for old, new in pairs:
            old.copy_(new)
        self.average.n_averaged += 1

    def is_finite(self) -> bool:
        """Whether every weight is finite; synchronises with the device."""
        finite = [p.isfinite().all() for p in self.method.parameters()]
        return bool(torch.stack(finite).all())

    def state_dict(self) -> dict[str, Any]:
        """Return everything, including the states of torch's random number generators."""
        return {
            "step": self.step,
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "cpu_random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned.

        Raises:
            RunFolderError: it belongs to a training with other settings, or holds NaN.
        """
        try:
            self.step = state["step"]
            self.method.load_state_dict(state["method"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            _check_shapes(self.optimizer)
            torch.set_rng_state(state["cpu_random"])
            if state["cuda_random"] and torch.cuda.is_available():
                torch.cuda.set_rng_state_all(state["cuda_random"])
        except (AttributeError, IndexError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RunFolderError(
                f"checkpoint.pt belongs to another training ({first_line(error)}): delete it to "
                "start again"
            ) from error
        if not self.is_finite():
            raise RunFolderError(
                "checkpoint.pt holds weights that are infinite or NaN: delete it to start again"
            )


def lay_out_state(optimizer: Optimizer) -> None:
    """Lay the optimiser's state out in memory as its parameters are.

    A checkpoint keeps the layout of the network that it was saved from, and fused updates on a CPU
    walk over both in the order of memory, without a check (torch 2.14).
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            per_weight = isinstance(value, torch.Tensor) and value.shape == parameter.shape
            if per_weight and value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _check_shapes(optimizer: Optimizer) -> None:
    """Check the restored state, which torch compares with the parameters in the next step only."""
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.ndim and value.shape != parameter.shape:
                raise ValueError(f"{name} of the optimiser has another shape than its parameter")
