"""The README: short, with both setups in one line each, and a first run that adapts.

tests/docs runs its commands and its Python, with those of the documentation.
"""

import re
from pathlib import Path

import pytest

from dacbn.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_both_setups_are_one_line() -> None:
    setups = [line for line in README.splitlines() if "-m venv" in line]
    assert len(setups) == 2
    assert all(line.startswith("python3 -m venv .venv && ") for line in setups)


def test_it_is_short_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) < 130
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) >= 10
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.slow
def test_the_default_run_adapts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["dacbn", "train"])
    main()
    last = (next(tmp_path.glob("runs/*/metrics.jsonl"))).read_text().splitlines()[-1]
    accuracy = re.search(r'"target_test_accuracy": ([\d.]+)', last)
    assert accuracy is not None and float(accuracy[1]) > 0.7
