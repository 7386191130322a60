"""Each example runs, is short enough to be read, and draws a figure."""

import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
CUTS = {
    "adapt_folders": ["--steps", "2"],
    "compare_norms": ["--steps", "2", "--seeds", "2"],
    "look_at_clusters": ["--steps", "2", "--images", "40"],
    "own_training_loop": ["--steps", "2"],
}


@pytest.mark.parametrize("name", sorted(CUTS))
def test_an_example_draws_its_figure(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plt.switch_backend("Agg")
    figure = tmp_path / "figure.png"
    words = [f"{name}.py", *CUTS[name], "--output", str(figure)]
    monkeypatch.setattr("sys.argv", words)
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    plt.close("all")
    assert figure.stat().st_size > 10_000


def test_each_example_is_shown_on_its_page() -> None:
    page = (EXAMPLES.parent / "pages" / "examples.md").read_text()
    assert [name for name in CUTS if f'--8<-- "examples/{name}.py"' not in page] == []


def test_examples_are_short_and_all_run_here() -> None:
    files = sorted(EXAMPLES.glob("*.py"))
    assert [file.stem for file in files] == sorted(CUTS)
    assert [file.stem for file in files if len(file.read_text().splitlines()) > 70] == []
