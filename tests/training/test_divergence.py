"""A training that leaves the finite numbers stops, and leaves what was good."""

import pytest
import torch

from dacbn.methods import SourceOnly, methods
from dacbn.training import DivergedError, load_checkpoint

BREAK_AT = 4  # the step, counted from 1


class BreaksLoss(SourceOnly):
    """Return a loss that is no number at one step."""

    value = float("nan")

    def forward(self, batch, progress):  # noqa: D102
        step = super().forward(batch, progress)
        if round(progress * 6) == BREAK_AT - 1:
            step.losses["classification"] = step.losses["classification"] * self.value
        return step


class LosesLoss(BreaksLoss):
    """The same, infinite."""

    value = float("inf")


class BreaksWeight(SourceOnly):
    """Spoil a weight that no loss depends on."""

    def __init__(self, network):
        super().__init__(network)
        self.unused = torch.nn.Parameter(torch.zeros(()))

    def forward(self, batch, progress):  # noqa: D102
        if round(progress * 6) == BREAK_AT - 1:
            self.unused.data.fill_(float("nan"))
        return super().forward(batch, progress)


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    for kind in (BreaksLoss, LosesLoss, BreaksWeight):
        monkeypatch.setitem(methods._entries, kind.__name__, kind)


@pytest.mark.parametrize("every", [1, 2, 6])
@pytest.mark.parametrize(("method", "value"), [("BreaksLoss", "nan"), ("LosesLoss", "inf")])
def test_the_error_names_the_step_the_term_and_the_cure(
    tiny, source, target, tmp_path, every, method, value
):
    with pytest.raises(DivergedError) as caught:
        tiny(method=method, log_every=every, checkpoint_every=3).fit(source, target, run=tmp_path)
    assert str(caught.value) == (
        f"the classification loss became {value} at step 4; lower lr, set clip_norm=1, or "
        f"lower the weight in method. {tmp_path} keeps its last good checkpoint"
    )


def test_the_last_good_checkpoint_stays(tiny, source, target, tmp_path):
    with pytest.raises(DivergedError):
        tiny(method="BreaksLoss").fit(source, target, run=tmp_path)
    state = load_checkpoint(tmp_path)
    assert state["step"] == 2
    assert all(tensor.isfinite().all() for tensor in state["method"].values())


def test_a_weight_that_is_no_number_stops_the_training(tiny, source, target):
    with pytest.raises(DivergedError, match="a weight became infinite or NaN by step 4; lower"):
        tiny(method="BreaksWeight").fit(source, target)


def test_no_checkpoint_is_promised_where_there_is_none(tiny, source, target, tmp_path):
    with pytest.raises(DivergedError) as caught:
        tiny(method="BreaksLoss", checkpoint_every=0).fit(source, target, run=tmp_path)
    assert "checkpoint" not in str(caught.value)
