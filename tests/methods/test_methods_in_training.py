"""Methods with forwards of their own, in a whole training on tiny images, and across a resume."""

import copy

import numpy as np
import pytest
import torch

from dacbn.adapter import DomainAdapter
from dacbn.batch import Batch
from dacbn.training import TrainConfig, create_state
from dacbn.training.loop import optimise

OWN_FORWARDS = [
    "adamatch",
    "adda",
    "adda(source_share=0.2)",
    "fixmatch(threshold=0.4)",
    "vada",
]
NORMS = ["ucb_norm", "batch_norm", "domain_specific_batch_norm"]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("method", OWN_FORWARDS)
def test_two_steps_train_and_the_network_predicts(method, norm):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (24, 32, 32, 3)).astype(np.uint8)
    sizes = {"source_batch_size": 4, "target_batch_size": 12}
    adapter = DomainAdapter(
        norm=norm, method=method, steps=2, log_every=1, augment="digits", device="cpu", **sizes
    )
    adapter.fit((images[:10], np.arange(10) % 2), images[10:])
    rows = [row for row in adapter.records if "classification" in row]
    assert len(rows) == 2
    assert all(np.isfinite([value for value in row.values()]).all() for row in rows)
    assert adapter.predict_proba(images).shape == (24, 2)


def draw_batch(generator):
    draw = [torch.rand(count, 3, 32, 32, generator=generator) for count in (4, 6, 4, 6)]
    labels = torch.randint(2, (4,), generator=generator)
    return Batch(draw[0], labels, draw[1], draw[2], draw[3])


@pytest.mark.parametrize("method", OWN_FORWARDS)
def test_training_goes_on_from_its_state_to_the_same_bits(method):
    sizes = {"source_batch_size": 4, "target_batch_size": 6}
    config = TrainConfig(method=method, steps=4, ema_decay=0.9, **sizes)
    generator = torch.Generator().manual_seed(0)
    batches = [draw_batch(generator) for _ in range(config.steps)]

    def go_on(state):
        state.method.train()
        for batch in batches[state.step :]:
            optimise(state, state.method(batch, state.step / config.steps), config)
            if state.step == 2:
                kept.append(copy.deepcopy(state.state_dict()))
        return state.state_dict()

    kept = []
    whole = copy.deepcopy(go_on(create_state(config, 2, 32, torch.device("cpu"))))
    resumed = go_on(create_state(config, 2, 32, torch.device("cpu"), kept[0]))
    for part in ("method", "average"):
        for name, tensor in whole[part].items():
            assert torch.equal(resumed[part][name], tensor), name
    assert torch.equal(resumed["cpu_random"], whole["cpu_random"])
