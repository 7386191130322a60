"""Reports of runs with several sources and targets."""

import numpy as np
import pytest

from dacbn.analysis.observe.outputs import DomainOutput
from dacbn.analysis.observe.run_folder import read_samples, read_training_images
from dacbn.analysis.observe.sides import is_source, pool
from dacbn.training import RunInfo, TrainConfig

CLASSES = tuple("0123456789")


def info(source, target, **options):
    return RunInfo(TrainConfig(source=source, target=target, **options), CLASSES, 32)


@pytest.mark.parametrize(
    ("options", "ids"),
    [({}, [0, 1, 2]), ({"merge_sources": True}, [0, 0, 1])],
)
def test_samples_have_the_names_and_ids_of_their_domains(options, ids):
    given = info(("digits", "color_digits"), "street_digits", **options)
    samples = read_samples(given, 6, 0)
    assert list(samples) == ["source digits", "source color_digits", "target"]
    assert [sample.cluster_id for sample in samples.values()] == ids
    titles = list(read_training_images(given, 2, 0))
    assert titles[0] == "source digits: digits" and titles[2] == "target: street_digits"


def test_a_mixed_target_keeps_its_true_populations_in_the_report():
    samples = read_samples(info("digits", ("digits", "color_digits"), merge_targets=True), 6, 0)
    assert [sample.cluster_id for sample in samples.values()] == [0, 1, 1]
    assert sum(map(is_source, samples)) == 1 and len(samples) == 3


def output(first, count, labelled=True):
    rows = np.arange(first, first + count, dtype=float)[:, None]
    return DomainOutput(rows, rows / 100, np.arange(count) if labelled else None)


def test_outputs_of_several_sources_are_pooled_in_order():
    outputs = {"source a": output(0, 2), "target": output(9, 1, False), "source b": output(5, 3)}
    pooled = pool(outputs, True)
    assert pooled.features[:, 0].tolist() == [0, 1, 5, 6, 7]
    assert pooled.labels.tolist() == [0, 1, 0, 1, 2]
    assert pool(outputs, False) is outputs["target"]
    assert pool({"source": output(0, 2)}, False) is None
    assert pool({"target a": output(0, 2), "target b": output(0, 2, False)}, False).labels is None
