"""What is wrong in config.json is said by name, value and what it must be."""

import json

import pytest

from dacbn.training import RunFolderError, TrainConfig, read_run_info
from dacbn.training.run_info import RunInfo, write_run_info

SETTINGS = [
    ("norm", 5, "norm must be text such as 'dann', got 5"),
    ("norm", "ucb_norm(", r"cannot read 'ucb_norm\('"),
    ("method", None, "method must be text such as 'dann', got None"),
    ("backbone", None, "backbone must be text, got None"),
    ("target", None, "target must be a tuple, got None"),
    ("source", ["a", 3], r"source must be a tuple, each text, got \(\'a\', 3\)"),
    ("validators", [5], r"validators must be a tuple, each text, got \(5,\)"),
    ("validators", 3, "validators must be a tuple, got 3"),
    ("device", None, "device must be text, got None"),
    ("steps", None, "steps must be a whole number, got None"),
    ("steps", 1.0, "steps must be a whole number, got 1.0"),
    ("seed", 2**64, "seed must be a whole number of at most 63 bits, got 18446744073709551616"),
    ("lr", "0.1", "lr must be a number, got '0.1'"),
    ("weight_decay", float("inf"), "weight_decay must be a finite number, got inf"),
    ("pretrained", "no", "pretrained must be True or False, got 'no'"),
    ("compile", 1, "compile must be True or False, got 1"),
    ("classifier", 64, r"classifier must be a tuple such as \(64, 64\), got 64"),
    ("classifier", [True], r"classifier must be a tuple, each a whole number, got \(True,\)"),
    ("data_root", 5, "data_root must be a path, got 5"),
    ("schedule", {}, r"schedule must be one of constant, cosine, dann, got \{\}"),
    ("colour", 1, "unknown option 'colour'"),
    ("[" * 50_000, 1, r"unknown option '\[{79}…\. Known:"),
]
WHOLE = [
    ("classes", None, "classes must be a tuple, got None"),
    ("classes", "ab", "classes must be a tuple, got 'ab'"),
    ("classes", [0, 1], r"classes must be a tuple, each text, got \[0, 1\]"),
    ("image_size", "32", "image_size must be a whole number, got '32'"),
    ("image_size", 0, "image_size must be at least 1, got 0"),
    ("training", [], r"training must be a dictionary, got \[\]"),
    ("training", None, "training must be a dictionary, got None"),
]


@pytest.fixture
def path(tmp_path):
    write_run_info(tmp_path, RunInfo(TrainConfig(), ("a", "b"), 32))
    return tmp_path / "config.json"


def refused(path):
    with pytest.raises(RunFolderError) as caught:
        read_run_info(path.parent)
    return str(caught.value)


@pytest.mark.parametrize(("name", "value", "message"), SETTINGS)
def test_a_setting_of_another_type_or_range_is_refused(path, name, value, message):
    content = json.loads(path.read_text())
    content["training"][name] = value
    path.write_text(json.dumps(content))
    with pytest.raises(RunFolderError, match=rf"/config\.json was not written by .*: {message}"):
        read_run_info(path.parent)


@pytest.mark.parametrize(("name", "value", "message"), WHOLE)
def test_a_field_of_another_type_or_range_is_refused(path, name, value, message):
    path.write_text(json.dumps({**json.loads(path.read_text()), name: value}))
    with pytest.raises(RunFolderError, match=rf"/config\.json was not written by .*: {message}$"):
        read_run_info(path.parent)


@pytest.mark.parametrize("text", ["[1]", "5", "null", '"a"', "[" * 100_000, '{"a":' * 100_000, ""])
def test_what_is_no_configuration_is_damaged(path, text):
    path.write_text(text)
    message = refused(path)
    assert message.startswith(f"{path} is damaged (") and len(message) < len(str(path)) + 120
    path.write_bytes(b"\xff\xfe")
    assert refused(path).startswith(f"{path} is damaged (")


def test_no_classes_are_no_run(path):
    path.write_text(json.dumps({**json.loads(path.read_text()), "classes": []}))
    assert "classes" in refused(path)
