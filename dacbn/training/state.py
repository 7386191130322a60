"""All that changes while training, as one thing to save and to go on from."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel

from dacbn.methods import Objective
from dacbn.models import Network
from dacbn.training.config import TrainConfig
from dacbn.training.run_info import RunFolderError
from dacbn.training.schedules import create_optimizer
from dacbn.training.storage import first_line


@dataclass
class TrainingState:
    """The method with its network, the optimiser, the averaged weights, the next step."""

    method: Objective
    optimizer: Optimizer
    average: AveragedModel | None
    step: int = 0

    @classmethod
    def create(cls, method: Objective, config: TrainConfig) -> "TrainingState":
        """Start a training; the method is on its device."""
        average = None
        if config.ema_decay is not None:
            average = AveragedModel(method.network).requires_grad_(False)
        return cls(method, create_optimizer(method, config), average)

    @property
    def network(self) -> Network:
        """The network to evaluate and to keep: the averaged one, if there is one."""
        network: nn.Module = self.average.module if self.average else self.method.network
        assert isinstance(network, Network)
        return network

    def is_finite(self) -> bool:
        """Whether every weight is a finite number; asks the device."""
        finite = [p.isfinite().all() for p in self.method.parameters()]
        return bool(torch.stack(finite).all())

    def state_dict(self) -> dict[str, Any]:
        """Collect everything, with the state of torch's random numbers."""
        return {
            "step": self.step,
            "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.state_dict() if self.average else None,
            "cpu_random": torch.get_rng_state(),
            "cuda_random": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` collected.

        Raises:
            RunFolderError: it was collected under other settings.
        """
        try:
            self.step = state["step"]
            self.method.load_state_dict(state["method"])
            self.optimizer.load_state_dict(state["optimizer"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            torch.set_rng_state(state["cpu_random"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise RunFolderError(
                f"checkpoint.pt is of another training ({first_line(error)}): delete it to start "
                "anew"
            ) from error
        if state["cuda_random"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["cuda_random"])
