"""A few steps on the real files, where they are; DACBN_DATA says where."""

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("DACBN_DATA", Path(__file__).parents[3] / "shared" / "data"))

pytestmark = [
    pytest.mark.skipif(not ROOT.is_dir(), reason=f"no data in {ROOT}; set DACBN_DATA"),
    pytest.mark.filterwarnings("ignore:.*is not the published file"),
]


@pytest.mark.parametrize(
    ("source", "target"), [("mnist", "usps"), ("mnist", "mnist_m"), ("svhn", "mnist")]
)
def test_the_benchmarks_train(tiny, source, target):
    adapter = tiny(steps=3, data_root=ROOT, checkpoint_every=0)
    rows = adapter.fit(source, target).records
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert 1 < rows[0]["classification"] < 5
    assert adapter.classes == tuple("0123456789")
