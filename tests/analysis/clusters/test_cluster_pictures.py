"""What the clusters hold is shown by domain and class."""

import pytest
import torch
from planted_activations import BRIGHT, DARK, planted_subject, two_modes

from dacbn.analysis.clusters.pictures import draw_contents
from dacbn.analysis.observe.recorder import record


def test_each_cluster_shows_the_images_that_it_holds():
    labels = torch.tensor([0, 0, 0]), torch.tensor([0, 1, 1])
    values = [DARK] * 3, [DARK, BRIGHT, BRIGHT]
    subject = planted_subject(*values, two_modes("sample"), noise=5, labels=labels)
    section = draw_contents(subject, record(subject))
    titles = [each.title for each in section.galleries]
    assert titles == [f"norm (layer 1 of 1): cluster {number}" for number in (1, 2)]
    dark, bright = section.galleries
    assert [words for words, _ in dark.rows] == [
        f"source: 3 of 3 images, most of them {subject.classes[0]} (3)",
        f"target: 1 of 3 images, most of them {subject.classes[0]} (1)",
    ]
    assert [len(pictures) for _, pictures in bright.rows] == [0, 2]
    assert section.findings == (
        "norm (layer 1 of 1): of the images of each domain, clusters 1 to 2 hold "
        "source 100%/0%; target 33%/67%.",
    )


def test_without_a_mixture_there_is_nothing_to_show():
    subject = planted_subject([DARK] * 3, [BRIGHT] * 3, torch.nn.BatchNorm2d(3))
    with pytest.raises(ValueError, match="no layer of this network has a mixture"):
        draw_contents(subject, record(subject))
