"""Settings, config.json and metrics.jsonl with anything in them: right, or refused in a line."""

import contextlib
import io
import json
import tempfile
from dataclasses import fields
from pathlib import Path

from fuzzing import ANYTHING, LEAVES, NUMBERS, STRANGE, examples, is_number, is_whole, refusal
from hypothesis import given
from hypothesis import strategies as st

from dacbn.analysis.training.curves import compute_curves
from dacbn.commands.scores import print_choices, print_scores
from dacbn.spec import Spec
from dacbn.training import RunFolderError, TrainConfig, check_names, read_records, read_run_info
from dacbn.training.run_info import RunInfo, write_run_info
from dacbn.training.train_command import train_command

NAMES = [field.name for field in fields(TrainConfig)]
COUNTS = {"image_size", "steps", "source_batch_size", "target_batch_size", "log_every"}
FROM_0 = {"eval_every", "checkpoint_every", "snapshot_every", "seed", "bottleneck"}
TRUTHS = {
    "merge_sources",
    "merge_targets",
    "balance_domains",
    "download",
    "pretrained",
    "compile",
    "tensorboard",
}
TEXTS = {"backbone", "norm_sites", "device"}
CHOICES = {
    "fit": ("crop", "pad", "squeeze"),
    "augment": ("auto", "digits", "photos", "none"),
    "on_unreadable": ("skip", "raise"),
    "norm_replaces": ("batch_norm", "layer_norm"),
    "cluster_ids": ("domain", "random", "swapped"),
    "optimizer": ("adamw", "sgd"),
    "schedule": ("constant", "cosine", "dann"),
    "precision": ("auto", "float32", "bfloat16"),
    "train": ("auto", "all", "norms", "head"),
}
MAY_BE_NONE = {"image_size", "lr", "clip_norm", "ema_decay", "norm", "input_norm"}
MAY_BE_NONE |= {"bottleneck", "backbone_lr_factor", "warmup"}


def is_meant(name, value):
    """Whether a setting may have this value, written out once more."""
    if value is None and name in MAY_BE_NONE:
        return True
    if name in CHOICES:
        return isinstance(value, str) and value in CHOICES[name]
    if name in COUNTS | FROM_0:
        return is_whole(value) and value >= (name in COUNTS)
    if name in TRUTHS:
        return isinstance(value, bool)
    if name in TEXTS:
        return isinstance(value, str)
    if name in ("norm", "input_norm", "method"):
        return isinstance(value, Spec)
    if name == "classifier":
        return isinstance(value, tuple) and all(is_whole(v) and v >= 1 for v in value)
    if name in ("validators", "source", "target"):
        return isinstance(value, tuple) and all(isinstance(v, str) for v in value)
    if name == "data_root":
        return isinstance(value, Path)
    if name in ("ema_decay", "warmup"):
        return is_number(value) and 0 <= value < 1
    if name in ("lr", "clip_norm", "weight_decay", "backbone_lr_factor"):
        return is_number(value) and (value >= 0 if name == "weight_decay" else value > 0)
    return True


SPECS = st.sampled_from(["dann", "ucb_norm(num_clusters=0)", "a + b", "dann(weight=1e999)", "("])


@examples(0.12)
@given(st.dictionaries(st.sampled_from(NAMES), st.one_of(STRANGE, NUMBERS, SPECS), max_size=3))
def test_settings_are_refused_or_meant_and_survive_their_json(options):
    with refusal(ValueError) as said:
        config = TrainConfig.from_options(**options)
        command = train_command(config)
    if said:
        return
    assert all(is_meant(name, getattr(config, name)) for name in NAMES)
    assert "\n" not in command or any("\n" in str(value) for value in options.values())
    again = TrainConfig.from_json(json.loads(json.dumps(config.to_json())))
    assert again == config
    with refusal(ValueError):
        check_names(config)


def good_config(folder):
    write_run_info(folder, RunInfo(TrainConfig(), ("a", "b"), 32))
    return json.loads((folder / "config.json").read_text())


@st.composite
def change(draw, text):
    """Draw a text or bytes with a piece replaced."""
    start = draw(st.integers(0, len(text)))
    stop = draw(
        st.integers(start, min(len(text), start + draw(st.sampled_from([0, 1, 5, 10_000]))))
    )
    other = draw(st.one_of(st.binary(max_size=3), st.sampled_from([b"[" * 50_000, b"null", b'"'])))
    return text[:start] + other + text[stop:]


@examples(0.09)
@given(st.data())
def test_a_config_file_is_refused_by_its_name_or_means_what_it_says(data):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "config.json"
        content = good_config(Path(folder))
        value = st.one_of(LEAVES, ANYTHING)
        kind = data.draw(st.sampled_from(["setting", "field", "whole", "missing", "bytes"]))
        if kind == "setting":
            content["training"][data.draw(st.sampled_from([*NAMES, "x"]))] = data.draw(value)
        elif kind == "field":
            content[data.draw(st.sampled_from(list(content)))] = data.draw(value)
        elif kind == "whole":
            content = data.draw(value)
        elif kind == "missing":
            part = data.draw(st.sampled_from([content, content["training"]]))
            del part[data.draw(st.sampled_from(list(part)))]
        text = json.dumps(content).encode()
        path.write_bytes(data.draw(change(text)) if kind == "bytes" else text)
        with refusal(RunFolderError) as said:
            info = read_run_info(Path(folder))
        if said:
            assert str(path) in said[0]
            return
        read = json.loads(path.read_text())
        assert info.classes == tuple(read["classes"]) and info.image_size == read["image_size"]
        assert all(isinstance(name, str) for name in info.classes) and is_whole(info.image_size)
        assert all(is_meant(name, getattr(info.config, name)) for name in NAMES)
        for name, value in read["training"].items():
            if name not in ("norm", "input_norm", "method", "data_root", "download"):
                kept = getattr(info.config, name)
                texts = (value,) if isinstance(value, str) else value
                assert kept in (value, tuple(texts) if isinstance(texts, list | tuple) else value)


METRICS = [
    "loss",
    "target_test_accuracy",
    "target_test_class_accuracy",
    "source_test_accuracy",
    "validator_entropy",
    "lr",
]
ROWS = st.one_of(
    st.fixed_dictionaries(
        {"step": st.integers(0, 9)}, optional=dict.fromkeys(METRICS, st.floats(0, 1))
    ),
    st.fixed_dictionaries({}, optional=dict.fromkeys(["step", *METRICS], LEAVES)),
    ANYTHING,
)


def is_record(row):
    if not isinstance(row, dict) or not is_whole(row.get("step")) or row["step"] < 0:
        return False
    return all(isinstance(v, float) or (is_whole(v) and v is not True) for v in row.values())


@examples(0.08)
@given(st.lists(ROWS, max_size=5), st.data())
def test_records_keep_what_is_one_and_name_the_lines_that_are_none(rows, data):
    lines = [json.dumps(row).encode() for row in rows]
    broken = data.draw(st.lists(st.integers(0, len(lines) - 1), max_size=1)) if lines else []
    for number in broken:
        lines[number] = data.draw(change(lines[number])).replace(b"\n", b"")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.jsonl"
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        with refusal(UserWarning) as said:  # pytest makes errors of warnings
            read_records(Path(folder))
        wrong = [i for i, row in enumerate(rows) if i not in broken and not is_record(row)]
        assert said or not wrong
        if said:
            assert said[0].startswith(f"{path} is damaged in line ")
            kept = [line for i, line in enumerate(lines) if i not in {*wrong, *broken}]
            path.write_bytes(b"".join(line + b"\n" for line in kept))
        found = read_records(Path(folder))
    intact = [
        json.loads(json.dumps(row)) for i, row in enumerate(rows) if i not in {*wrong, *broken}
    ]
    if said or not broken:
        assert [repr(row) for row in found] == [repr(row) for row in intact]
    with refusal(), contextlib.redirect_stdout(io.StringIO()):
        print_choices(found)
        print_scores(found[-1] if found else {})
        curves = compute_curves(found)
    for name, curve in curves.items():
        assert curve.shape == (sum(name in row for row in found), 2)
