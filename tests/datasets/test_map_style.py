"""Datasets of torch and torchvision, and loaders that read them in order."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
)
from torchvision.datasets import FakeData, ImageFolder
from torchvision.transforms import v2

from dacbn import DomainAdapter
from dacbn.datasets import choose_family, read_every, size_of, to_labelled, to_unlabelled

COUNT, SIZE = 6, 8
FAKE = FakeData(COUNT, (3, 12, 10), num_classes=3)
LABELS = [label for _, label in FAKE]
PIXELS = np.stack([np.asarray(picture) for picture, _ in FAKE])
ARRAYS = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
EXPECTED = to_unlabelled(PIXELS, SIZE, train=True).images.pixels


class Items(Dataset):
    """A dataset of the items given."""

    def __init__(self, items, classes=None):
        self.items = items
        self.classes = classes

    def __len__(self):
        return len(self.items)

    def __getitem__(self, row):
        return self.items[row]


KINDS = {
    "pictures": FAKE,
    "tensors": TensorDataset(ARRAYS, torch.tensor(LABELS)),
    "floats": FakeData(
        COUNT, (3, 12, 10), 3, v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    ),
    "arrays with more": Items(
        [(p, np.array([n]), "x") for p, n in zip(PIXELS, LABELS, strict=True)]
    ),
    "a subset": Subset(FAKE, range(COUNT)),
    "a loader": DataLoader(FAKE, 4, drop_last=True),
    "a loader of single items": DataLoader(FAKE, batch_size=None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_dataset_is_a_domain(kind):
    data = KINDS[kind]
    names = sorted(set(LABELS))
    for train in (True, False):
        domain = to_labelled(data, SIZE, train)
        assert torch.equal(domain.images.pixels, EXPECTED)
        assert [int(domain.classes[label]) for label in domain.labels] == LABELS
        assert domain.classes == tuple(map(str, names))
        assert torch.equal(to_unlabelled(data, SIZE, train).images.pixels, EXPECTED)
    assert torch.equal(read_every(data, SIZE).images.pixels, EXPECTED)
    assert choose_family(data) == "digits"


def test_images_are_not_enlarged_by_default():
    assert size_of(FAKE) == size_of(DataLoader(FAKE)) == 10
    assert size_of(FakeData(1, (3, 400, 300))) == 224
    assert size_of(KINDS["tensors"]) == 12


def test_names_of_classes_are_those_of_the_dataset_and_never_its_numbers():
    items = list(zip(PIXELS, [0, 1, 2, 0, 1, 2], strict=True))
    data = Items(items, ["cat", "ant", "bee"])
    for each in (data, Subset(data, range(6)), ConcatDataset([data]), DataLoader(data)):
        domain = to_labelled(each, SIZE, train=True)
        assert domain.classes == ("ant", "bee", "cat")
        assert domain.labels.tolist() == [2, 0, 1, 2, 0, 1]
    test = to_labelled(Subset(data, [0]), SIZE, False, classes=("ant", "bee", "cat"))
    assert test.labels.tolist() == [2]
    with pytest.raises(ValueError, match="number different classes: pass each part as a domain"):
        to_labelled(ConcatDataset([data, Items(items, ["ant", "bee", "cat"])]), SIZE, train=True)
    with pytest.raises(ValueError, match="label 2 is none of the 2 classes"):
        to_labelled(Items(items, ["cat", "ant"]), SIZE, train=True)


def test_a_subset_of_an_image_folder_has_its_names(tmp_path):
    for number, name in enumerate(["bee", "ant", "bee", "ant"]):
        (tmp_path / name).mkdir(exist_ok=True)
        Image.fromarray(PIXELS[number]).save(tmp_path / name / f"{number}.png")
    folder = ImageFolder(tmp_path)
    whole, part = (to_labelled(each, SIZE, True) for each in (folder, Subset(folder, [0, 2])))
    assert part.classes == whole.classes == ("ant", "bee")
    assert torch.equal(part.images.pixels, whole.images.pixels[[0, 2]])


@pytest.mark.parametrize(
    "loader",
    [
        DataLoader(FAKE, 2, shuffle=True),
        DataLoader(FAKE, sampler=SubsetRandomSampler([0])),
        DataLoader(FAKE, batch_sampler=BatchSampler(RandomSampler(FAKE), 2, False)),
        DataLoader(FAKE, batch_sampler=[[0, 1], [1, 2]]),
        DataLoader(FAKE, batch_size=None, shuffle=True),
    ],
)
def test_a_loader_that_does_not_read_in_order_is_refused(loader):
    for convert in (to_labelled, to_unlabelled):
        with pytest.raises(ValueError, match=r"shuffles or samples: pass loader\.dataset, or"):
            convert(loader, SIZE, train=True)


def test_a_loader_with_a_sampler_of_batches_says_that_it_reads_in_order():
    """Torch 2.14: `sampler` stays sequential beside a sampler of batches that shuffles."""
    loader = DataLoader(FAKE, batch_sampler=BatchSampler(RandomSampler(FAKE), 2, False))
    assert type(loader.sampler).__name__ == "SequentialSampler"


FAULTS = {
    "is empty: pass at least one image": Items([]),
    "items of the dataset begin with dict: return (image, label)": Items([{"image": PIXELS[0]}]),
    "items of the dataset begin with str": Items([("a.png", 1)]),
    "the label of an item has shape (2,): give one": Items([(PIXELS[0], torch.tensor([1, 0]))]),
    "1 of 1 labels are True or False": Items([(PIXELS[0], True)], ["a", "b"]),
    "1 of 2 items have no label": Items([(PIXELS[0], 1), (PIXELS[1],)]),
    "cannot read images of shape (1, 1, 10, 12, 3)": Items(
        [(PIXELS[0].transpose(1, 0, 2)[None], 1)]
    ),
}


@pytest.mark.parametrize("message", FAULTS)
def test_a_dataset_with_faults_is_refused_in_one_line(message):
    with pytest.raises(ValueError) as caught:
        to_labelled(FAULTS[message], SIZE, train=True)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_items_without_labels_are_a_target():
    data = TensorDataset(ARRAYS)
    assert len(to_unlabelled(data, SIZE, train=True)) == COUNT
    with pytest.raises(ValueError, match="cannot take labelled images from TensorDataset: pass"):
        to_labelled(data, SIZE, train=True)


def test_an_adapter_is_trained_on_datasets():
    adapter = DomainAdapter(norm="batch_norm", steps=2, image_size=32, device="cpu")
    adapter.fit(FAKE, DataLoader(FAKE, 4))
    assert adapter.predict(FAKE).shape == (COUNT,)
