"""The command that writes a network in another format."""

import sys

import numpy as np
import pytest
import torch

from dacbn import DomainAdapter, cli


@pytest.fixture
def run(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    options = {"steps": 1, "source_batch_size": 4, "target_batch_size": 4}
    adapter = DomainAdapter(method="source_only", **options).fit((images, [0, 1] * 4), images)
    adapter.save_pretrained(tmp_path / "run")
    return tmp_path / "run"


def export(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["dacbn", "export", *map(str, words)])
    cli.main()


@pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="needs torch 2.7")
def test_a_format_has_a_file_in_the_run_and_a_sentence_on_its_answers(run, monkeypatch, capsys):
    export(monkeypatch, run, "--format", "torch")
    assert (run / "model.pt2").is_file()
    said = capsys.readouterr().out
    assert "differs from the network by at most" in said and f"wrote {run / 'model.pt2'}" in said
    assert "random pixels" in said  # the run's images were in memory
    assert not list(run.glob(".*"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--format", "onx"), "unknown format 'onx'. Did you mean 'onnx'?"),
        (("--format", "onnx(size=3)"), "onnx has no option 'size', only pixels, resize"),
        (("--format", "torch", "--domain", "nowhere"), "there is no domain 'nowhere'"),
        (("--format", "torch", "--output", "model.bin"), "end in .pt2"),
    ],
)
def test_mistakes_are_told_in_one_line(run, monkeypatch, capsys, words, message):
    with pytest.raises(SystemExit):
        export(monkeypatch, run, *words)
    assert message in capsys.readouterr().err
