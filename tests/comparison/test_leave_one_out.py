"""Each domain is left out in turn, as the target or unseen, and the table has all of them."""

import csv
import sys

import numpy as np
import pytest
from PIL import Image

from dacbn import cli
from dacbn.comparison import choose_variants
from dacbn.comparison.leave_one_out import leave_one_out
from dacbn.training import TrainConfig

FAST = (
    "--steps 2 --eval-every 1 --source-batch-size 6 --target-batch-size 4 --image-size 32 --device "
    "cpu --norms batch_norm --methods source_only dann"
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Make three domains of dark and bright squares."""
    root, random = tmp_path_factory.mktemp("place"), np.random.default_rng(0)
    for ground, domain in enumerate("abc"):
        for label, name in enumerate(("dark", "bright")):
            (root / domain / name).mkdir(parents=True)
            for number in range(8):
                pixels = random.integers(0, 60, (32, 32, 3)) + 40 * ground + 100 * label
                file = root / domain / name / f"{number}.png"
                Image.fromarray(pixels.astype(np.uint8)).save(file)
    return root


@pytest.fixture
def compare(place, monkeypatch, capsys):
    """Type dacbn compare; returns what is printed."""

    def run(line):
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["dacbn", "compare", *line.split(), *FAST.split()])
        capsys.readouterr()
        try:
            cli.main()
        except SystemExit as stop:
            assert stop.code == 1
        return "".join(capsys.readouterr())

    return run


def test_each_source_is_once_the_target():
    config = TrainConfig(source=("x/a", "b", "y/a"))
    found = leave_one_out(config)
    assert {name: (each.source, each.target, each.unseen) for name, each in found.items()} == {
        "x/a": (("b", "y/a"), ("x/a",), ()),
        "b": (("x/a", "y/a"), ("b",), ()),
        "y/a": (("x/a", "b"), ("y/a",), ()),
    }


def test_without_a_target_it_is_once_unseen():
    found = leave_one_out(TrainConfig(source=("a", "b", "c"), target="none"))
    assert found["b"].source == ("a", "c")
    assert found["b"].target == () and found["b"].unseen == ("b",)


def test_the_table_has_every_domain_and_their_mean_and_is_not_trained_again(compare, place):
    line = "--source a b c --leave-one-out --seeds 2 --output out"
    printed = compare(line)
    assert "3 x 4 trainings" in printed and "wrote out/leave_one_out.md" in printed
    with (place / "out" / "leave_one_out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 * 2 * 2
    ours = [row for row in rows if row["method"] == "dann"]
    each = {
        domain: np.mean([float(row["accuracy"]) for row in ours if row["domain"] == domain])
        for domain in "abc"
    }
    table = (place / "out" / "leave_one_out.md").read_text()
    line_of = next(row for row in table.splitlines() if "| dann " in row)
    cells = [cell.split("±")[0].strip() for cell in line_of.strip("| ").split("|")]
    shown = [float(cell) for cell in cells[2:6]]
    assert shown == pytest.approx([*each.values(), np.mean(list(each.values()))], abs=0.06)
    assert (place / "out" / "b" / "comparison.md").exists()
    before = (place / "out" / "a" / "runs").stat().st_mtime_ns
    assert "cell 1" not in compare(line)
    assert (place / "out" / "a" / "runs").stat().st_mtime_ns == before


def test_unseen_domains_are_tabulated_by_the_rules_of_domainbed(compare, place):
    compare("--source a b c --target none --leave-one-out --seeds 1 --output unseen")
    table = (place / "unseen" / "leave_one_out.md").read_text()
    for words in ("left out of training", "training-domain validation", "test-domain (oracle)"):
        assert words in table
    assert "--target none --unseen b" in (place / "unseen" / "b" / "comparison.md").read_text()


def test_a_comparison_without_a_target_needs_something_to_score(compare, place):
    said = compare("--source a b --target none --seeds 1 --output none")
    assert "give --unseen a domain to score" in said
    compare("--source a b --target none --unseen c --seeds 1 --output one")
    assert "(c unseen)" in (place / "one" / "comparison.md").read_text()


def test_a_target_besides_is_refused(compare):
    assert "leave out --target" in compare("--source a b --target c --leave-one-out --output no")
    assert "at least two" in compare("--source a --leave-one-out --output no")


def test_all_sources_as_one_is_a_control_where_there_are_several(compare, place):
    printed = compare("--source a b --target c --controls --seeds 1 --output controlled")
    assert "batch_norm (control: all sources as one)" in printed
    runs = {folder.name for folder in (place / "controlled" / "runs").iterdir()}
    assert "dann-batch_norm-merge_sources-seed0" in runs


def test_this_control_is_for_what_could_know_sources_apart():
    def titles(norm, method, several=True):
        variants = choose_variants([norm], [method], controls=True, several_sources=several)
        return [variant.control for variant in variants]

    one = "all sources as one"
    assert one in titles("batch_norm", "dann")
    assert one in titles("domain_specific_batch_norm", "source_only")
    assert one not in titles("batch_norm", "source_only")
    assert one not in titles("domain_specific_batch_norm", "dann", several=False)
