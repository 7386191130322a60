"""What two processes say to each other in a training, each function run on both."""

import numpy as np
import torch

from dacbn import DomainAdapter
from dacbn.datasets import LabelledImages, TensorImages
from dacbn.models import create_network
from dacbn.processes import (
    Agreement,
    Elsewhere,
    by_rows,
    current,
    gather_whole,
    lead,
    own_rows,
    sharing,
)
from dacbn.training import TrainConfig
from dacbn.training.evaluation import run_network
from dacbn.training.metric_window import DivergedError
from dacbn.training.several_processes import on_processes


def domain(count, seed):
    generator = np.random.default_rng(seed)
    return generator.integers(256, size=(count, 32, 32, 3), dtype=np.uint8), np.arange(count) % 2


def raised(run, *kinds):
    try:
        run()
    except kinds as error:
        return type(error).__name__, str(error)
    return None


def fail():
    raise ValueError("no such folder")


def converse(rank, folder):
    """Return what each conversation gave, by name."""
    found = {"same draws": _draws(), "lead": lead(lambda: f"process {rank}")}
    found["an error of the first"] = raised(lambda: lead(fail), ValueError, Elsewhere)
    found["agreement"] = _agree(rank)
    found["settings"] = raised(lambda: _open(lr=0.1 * (rank + 1)), ValueError)
    found["too many"] = raised(lambda: _open(source_batch_size=1, target=()), ValueError)
    found["other data"] = raised(lambda: _fit(19 + rank), ValueError)
    found["files"] = _train(rank, folder)
    found["outputs"] = _outputs()
    found["diverged"] = _diverge(rank, f"{folder}-diverged")
    return found


class Diverging(torch.nn.Module):
    """A network whose features are NaN on process 1 after some passes in training."""

    def __init__(self, rank):
        super().__init__()
        self.rank, self.passes = rank, 0
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(3, 4, 3, stride=4), torch.nn.BatchNorm2d(4), torch.nn.ReLU()
        )

    def forward(self, images):
        """Compute features (B, 4)."""
        self.passes += self.training
        features = self.layers(images).mean((2, 3))
        return features * torch.nan if self.rank == 1 and self.passes > 8 else features


def _diverge(rank, run):
    """Return the error, and of what is saved the step and whether all weights are finite."""
    options = {
        "source_batch_size": 4,
        "target_batch_size": 4,
        "log_every": 1,
        "checkpoint_every": 1,
    }
    adapter = DomainAdapter(
        Diverging(rank), norm="batch_norm", method="source_only", device="cpu", steps=50, **options
    )
    error = raised(lambda: adapter.fit(domain(20, 0), domain(20, 1), run=run), DivergedError)
    saved = torch.load(f"{run}/checkpoint.pt", weights_only=False)
    finite = all(
        value.isfinite().all() for value in saved["method"].values() if value.is_floating_point()
    )
    return error, saved["step"], finite


def _open(**options):
    with on_processes(TrainConfig.from_options(device="cpu", **options)):
        pass


def _fit(images):
    adapter = DomainAdapter(device="cpu", steps=1, norm="layer_norm")
    adapter.fit(domain(20, 0), domain(images, 1))


def _draws():
    """Draw in the rows of a process, and after them."""
    torch.manual_seed(3)
    inside = by_rows(lambda x: torch.rand(len(x)), torch.zeros(4))
    return inside.tolist(), torch.rand(2).tolist()


def _agree(rank):
    """Ask in three steps; process 1 wants to stop in the first."""
    agreement = Agreement()
    return [agreement.ask(15 if rank == 1 and step == 0 else 0) for step in range(3)]


def _train(rank, folder):
    """Train in one folder, and go on there; return which files this process knows of."""
    options = {"norm": "layer_norm", "device": "cpu", "precision": "float32", "augment": "none"}
    options |= {"source_batch_size": 4, "target_batch_size": 3, "optimizer": "sgd"}
    source, target = domain(20, 0), domain(17, 1)

    def in_two_parts(run):
        for steps in (2, 4):
            adapter = DomainAdapter(steps=steps, **options)
            adapter.fit(source, target, target_test=target, run=run, resume=steps == 4)
        return adapter

    together = in_two_parts(folder)
    with sharing(None):
        alone = in_two_parts(f"{folder}-{rank}")
    pairs = zip(together.network.parameters(), alone.network.parameters(), strict=True)
    far = max(float((a - b).detach().abs().max()) for a, b in pairs)
    scores = [run.records[-1]["target_test_accuracy"] for run in (together, alone)]
    return far, scores


def _outputs():
    """Run a network on images in batches of several sizes, with and without the other process."""
    images, labels = domain(11, 2)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()
    given = LabelledImages(TensorImages(pixels), torch.from_numpy(labels), ("a", "b")).images
    torch.manual_seed(0)
    network = create_network("digits_cnn", "layer_norm", 2)
    cpu, far = torch.device("cpu"), 0.0
    for size in (2, 4, 11, 20):
        together = run_network(network, given, 0, cpu, size).logits
        with sharing(None):
            alone = run_network(network, given, 0, cpu, size).logits
        far = max(far, float((together - alone).abs().max()))
    start, stop = own_rows(5)
    assert current() is not None and stop > start
    assert gather_whole(torch.ones(2)).tolist() == [1, 1], "outside of a step nothing is shared"
    return far
