"""Where a report is written: whole, by one process at a time, and nothing of a killed one stays."""

import numpy as np
import pytest

from dacbn import DomainAdapter
from dacbn.analysis import analyses, report
from dacbn.training import FolderInUseError, claim

pytestmark = pytest.mark.filterwarnings("ignore:cannot show the images")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    images = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3)).astype(np.uint8)
    sizes = {"source_batch_size": 4, "target_batch_size": 4}
    adapter = DomainAdapter(norm="batch_norm", steps=4, log_every=2, device="cpu", **sizes)
    adapter.fit((images, np.arange(12) % 2), images, run=folder)
    return folder


@pytest.fixture(autouse=True)
def few_analyses(monkeypatch):
    kept = {name: analyses[name] for name in ("verdict", "training curves")}
    monkeypatch.setattr(analyses, "_entries", kept)


def test_two_reports_are_not_written_into_one_folder(run, tmp_path):
    with (
        claim(tmp_path / "figures"),
        pytest.raises(FolderInUseError, match="figures is in use by another process"),
    ):
        report(run, output=tmp_path, quiet=True)


def test_a_run_in_training_can_be_analysed(run, tmp_path):
    with claim(run):
        report(run, quiet=True)
    assert (run / "report.html").exists()


def test_what_a_killed_report_left_is_removed(run, tmp_path):
    (tmp_path / "figures").mkdir()
    left = [tmp_path / ".report.html.12.part", tmp_path / "figures" / ".curves.png.12.part"]
    for path in left:
        path.touch()
    report(run, output=tmp_path, quiet=True)
    assert not any(path.exists() for path in left)


def test_figures_are_not_written_to_where_a_link_leads(run, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "figures").symlink_to(tmp_path / "outside")
    with pytest.raises(ValueError, match="figures is a link: remove it, or choose another output"):
        report(run, output=tmp_path, quiet=True)
    assert list((tmp_path / "outside").iterdir()) == []
