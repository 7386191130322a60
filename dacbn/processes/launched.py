"""What torchrun or Slurm says of this process."""

import os
from dataclasses import dataclass
from typing import Self

ATTEMPT = "TORCHELASTIC_RESTART_COUNT"


@dataclass(frozen=True)
class Launched:
    """What the launcher says of this process.

    Args:
        rank: which process this is, from 0.
        count: processes.
        local_rank: which of those on this machine.
        local_count: processes on this machine; 0 if the launcher does not say.
        restarts: how often all were started again.
        may_restart: whether the launcher starts all again if one fails.
    """

    rank: int
    count: int
    local_rank: int
    local_count: int = 0
    restarts: int = 0
    may_restart: bool = False

    @classmethod
    def read(cls) -> Self | None:
        """Read the variables of torchrun, or of Slurm's srun; None if there are none."""
        env = os.environ
        if "RANK" in env and "WORLD_SIZE" in env:
            return cls(
                *(int(env["RANK"]), int(env["WORLD_SIZE"]), int(env.get("LOCAL_RANK", 0))),
                local_count=int(env.get("LOCAL_WORLD_SIZE", 0)),
                restarts=int(env.get(ATTEMPT, 0)),
                may_restart=int(env.get("TORCHELASTIC_MAX_RESTARTS", 0)) > 0,
            )
        if "SLURM_STEP_ID" in env and int(env.get("SLURM_NTASKS", 1)) > 1:
            rank, count, local = (env[f"SLURM_{name}"] for name in ("PROCID", "NTASKS", "LOCALID"))
            return cls(int(rank), int(count), int(local))
        return None
