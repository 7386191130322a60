"""What all tests share."""

import functools
import gc
import os

import pytest
import torch

FEW = 100


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Tiny tensors are slower in several threads, much slower on a busy machine.

    So are processes that tests start: OpenMP's threads keep a core while they wait for each other.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True, scope="session")
def _libraries_and_tests_are_no_garbage():
    """Keep Python from searching all collected tests for garbage, a second each time."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def few_digits(monkeypatch):
    """Let the registered datasets have few images; published files are stood in for by digits."""
    from dacbn.datasets import LabelledImages, TensorImages  # a process of tests/norms has none
    from dacbn.datasets.catalogue import datasets

    def shortened(name):
        load = datasets["digits" if name in ("mnist", "usps") else name]

        @functools.wraps(datasets[name])
        def load_few(root, train, download):
            domain = load(root, train, download)
            few = domain.images.gather(torch.arange(FEW))
            return LabelledImages(TensorImages(few), domain.labels[:FEW], domain.classes)

        return load_few

    for name in ("digits", "color_digits", "street_digits", "mnist", "usps"):
        monkeypatch.setitem(datasets._entries, name, shortened(name))
