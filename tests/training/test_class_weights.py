"""Trainings with class weights: resumed, and on a planted target with fewer classes."""

import numpy as np

from dacbn.adapter import DomainAdapter


def test_a_resumed_training_goes_on_with_its_class_weights(
    tiny, source, target, weights, tmp_path, untimed
):
    def fit(steps, name, resume=False):
        options = {"method": "mcc + pada(momentum=0.5)", "schedule": "constant", "validators": ()}
        adapter = tiny(steps=steps, **options)
        return adapter.fit(source, target[0], run=tmp_path / name, resume=resume)

    whole, _, parts = fit(6, "whole"), fit(4, "parts"), fit(6, "parts", resume=True)
    assert weights(parts) == weights(whole)
    assert untimed(parts.records) == untimed(whole.records)


def test_images_of_a_class_that_the_target_lacks_count_less():
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    images = (random.integers(0, 60, (60, 32, 32)) + 90 * labels[:, None, None]).astype(np.uint8)
    options = {"norm": "batch_norm", "steps": 40, "device": "cpu", "validators": (), "log_every": 5}
    options |= {"source_batch_size": 12, "target_batch_size": 12, "method": "pada(momentum=0.1)"}
    adapter = DomainAdapter(**options).fit((images, labels), images[labels < 2])
    found = [row["source_weight"] for row in adapter.records if "source_weight" in row]
    assert found[0] > 0.8 and found[-1] < 0.75  # a third of the source has hardly any weight
