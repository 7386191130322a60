"""dacbn evaluate shows what each rule would have chosen in the training."""

import shutil
import sys

import numpy as np
import pytest
from PIL import Image

from dacbn import DomainAdapter, cli
from dacbn.commands.scores import print_choices
from dacbn.training import validators

OPTIONS = {
    **{"steps": 3, "source_batch_size": 6, "target_batch_size": 6, "eval_every": 1},
    **{"log_every": 1, "device": "cpu", "validators": ("bnm", "source_accuracy")},
}


def make_squares(folder, seed):
    random = np.random.default_rng(seed)
    for name, light in (("dark", 0), ("light", 120)):
        (folder / name).mkdir(parents=True)
        for number in range(6):
            pixels = random.integers(0, 100, (32, 32), dtype=np.uint8) + np.uint8(light)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return str(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    root = tmp_path_factory.mktemp("squares")
    source, target = (make_squares(root / name, seed) for seed, name in enumerate("ab"))
    adapter = DomainAdapter(**OPTIONS, image_size=32)
    tests = {"source_test": source, "target_test": target}
    adapter.fit(source, target, **tests, run=root / "run")
    return root / "run"


def evaluate(*arguments):
    with pytest.MonkeyPatch.context() as monkeypatch:
        words = ["dacbn", "evaluate", *map(str, arguments), "--device", "cpu"]
        monkeypatch.setattr(sys, "argv", words)
        cli.main()


def test_choices_are_lines_with_step_and_accuracy_and_the_oracle_is_marked(capsys):
    print_choices(
        [
            {"step": 100, "target_test_accuracy": 0.8, "validator_class_ami": 0.1},
            {"step": 150, "classification": 0.5},
            {"step": 200, "target_test_accuracy": 0.7, "validator_class_ami": 0.3},
        ]
    )
    assert capsys.readouterr().out.splitlines() == [
        "of 2 evaluations in training, with the target test accuracy there:",
        "  last                      step 200       70.0%",
        "  median of last 2                         75.0%",
        "  class ami                 step 200       70.0%",
        "  oracle                    step 100       80.0%  "
        "(best on target labels; not available in practice)",
    ]


def test_without_evaluations_nothing_is_printed(capsys):
    print_choices([{"step": 1, "classification": 0.5}])
    assert capsys.readouterr().out == ""


def test_an_evaluation_shows_the_choices_of_the_run(run, capsys):
    evaluate(run)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[1] for line in lines if line.startswith("  ")] == [
        *("last", "median of last 3", "bnm", "source accuracy", "oracle")
    ]


def test_a_run_without_validators_shows_the_rest(run, tmp_path, capsys):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    rows = '{"step": 1, "target_test_accuracy": 0.5}\n{"step": 3, "target_test_accuracy": 0.25}\n'
    (tmp_path / "metrics.jsonl").write_text(rows)
    evaluate(tmp_path)
    shown = capsys.readouterr().out
    assert "of 2 evaluations" in shown and "bnm" not in shown
    assert "last                      step 3         25.0%" in shown


@pytest.mark.parametrize("way", ["another target", "recalibrated", "without records"])
def test_choices_are_not_shown_beside_other_scores(run, tmp_path, capsys, way):
    options = {"another target": ["--target", run.parent / "a"], "recalibrated": ["--recalibrate"]}
    for name in ("config.json", "model.safetensors", "metrics.jsonl"):
        if way != "without records" or name != "metrics.jsonl":
            (tmp_path / name).write_bytes((run / name).read_bytes())
    evaluate(tmp_path, *options.get(way, []))
    shown = capsys.readouterr().out
    assert "target test: accuracy" in shown and "evaluations in training" not in shown


def test_validators_are_listed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["dacbn", "list", "validators"])
    cli.main()
    shown = capsys.readouterr().out
    for name in validators:
        assert f"\n  {name} " in shown
    assert max(map(len, shown.splitlines())) <= 130


def test_one_evaluation_leaves_no_choice(capsys):
    print_choices([{"step": 5, "target_test_accuracy": 0.5, "validator_bnm": 1.0}])
    assert capsys.readouterr().out == ""


@pytest.mark.filterwarnings("always:the source is not scored")
def test_a_run_is_scored_on_its_target_where_its_source_is_gone(tmp_path, capsys):
    source, target = make_squares(tmp_path / "source", 0), make_squares(tmp_path / "target", 1)
    run = tmp_path / "run"
    DomainAdapter(method="source_only", **OPTIONS).fit(source, target, run=run)
    shutil.rmtree(source)
    evaluate(run)
    shown = capsys.readouterr()
    assert "target test: accuracy" in shown.out and "source test" not in shown.out
    assert "the source is not scored" in shown.err
