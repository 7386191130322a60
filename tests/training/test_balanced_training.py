"""The setting `balance_classes` in a training: a rare class of the source is learned."""

import numpy as np
import pytest

from dacbn.adapter import DomainAdapter


def draw_stripes(counts, seed):
    """Draw faint stripes in noise, of a direction by class."""
    drawn = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    stripes = 30 * (np.arange(32) // 4 % 2)
    patterns = np.stack([np.tile(stripes, (32, 1)), np.tile(stripes[:, None], (1, 32))])
    images = drawn.normal(100, 50, (len(labels), 32, 32)) + patterns[labels]
    return images.clip(0, 255).astype(np.uint8), labels


@pytest.mark.parametrize("train", ["all", "head"])
def test_batches_have_equal_classes_and_a_resumed_run_has_the_same(
    tiny, target, tmp_path, weights, train
):
    source = draw_stripes([40, 3], 0)
    options = {"balance_classes": True, "train": train, "method": "source_only"}
    whole = tiny(**options, checkpoint_every=3).fit(source, target[0])
    plain = tiny(**options | {"balance_classes": False}).fit(source, target[0])
    assert weights(whole) != weights(plain)
    tiny(**options, checkpoint_every=0).fit(source, target[0], run=tmp_path)
    resumed = DomainAdapter.from_run(tmp_path)
    assert resumed.config.balance_classes
    with pytest.raises(ValueError, match="began with another balance_classes"):
        tiny(**options | {"balance_classes": False, "checkpoint_every": 0}).fit(
            source, target[0], run=tmp_path, resume=True
        )
    assert weights(DomainAdapter.from_pretrained(tmp_path, device="cpu")) == weights(whole)


def test_a_rare_class_is_recognised_more_often():
    source, test = draw_stripes([190, 10], 0), draw_stripes([100, 100], 1)
    shares = {}
    for balance in (False, True):
        adapter = DomainAdapter(
            **{"norm": None, "method": "source_only", "steps": 40, "augment": "none"},
            **{"source_batch_size": 20, "target_batch_size": 2, "device": "cpu"},
            balance_classes=balance,
        ).fit(source, test[0])
        shares[balance] = adapter.predict(test[0], cluster_id=0)[test[1] == 1].mean()
    assert shares[True] > shares[False] + 0.1
