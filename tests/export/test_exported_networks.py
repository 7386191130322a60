"""Exported networks answer as the adapter does, and say what they are."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dacbn import DomainAdapter
from dacbn.datasets.fitting import make_square
from dacbn.export import formats, onnx_file
from dacbn.export.onnx_file import open_session
from dacbn.export.resize import resize
from dacbn.registry import UnknownNameError

exports = pytest.mark.skipif(not hasattr(torch.compiler, "is_exporting"), reason="needs torch 2.7")
WITHOUT_DACBN = """
import sys, numpy, torch
sys.modules["dacbn"] = None  # an import raises
program = torch.export.load(sys.argv[1])
images = torch.from_numpy(numpy.load(sys.argv[2])).movedim(3, 1)
numpy.save(sys.argv[3], program.module()(images)[0].detach().numpy())
"""


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def adapter(images):
    options = {"steps": 2, "source_batch_size": 12, "target_batch_size": 12, "log_every": 1}
    adapter = DomainAdapter(norm="ucb_norm(num_clusters=2)", method="source_only", **options)
    return adapter.fit((images, ["ant", "bee", "fly"] * 8), 255 - images)


def need(*names):
    for name in names:
        pytest.importorskip(name, reason=f"needs {name}: pip install 'dacbn[onnx]'")


@exports
def test_a_program_of_torch_runs_without_dacbn(adapter, images, tmp_path):
    adapter.export(tmp_path / "model.pt2", format="torch")
    np.save(tmp_path / "images.npy", images[:5])
    files = [tmp_path / name for name in ("model.pt2", "images.npy", "answers.npy")]
    subprocess.run([sys.executable, "-c", WITHOUT_DACBN, *files], check=True, cwd=tmp_path)
    found = np.load(tmp_path / "answers.npy")
    np.testing.assert_allclose(found, adapter.predict_proba(images[:5]), atol=1e-5)
    about = {"classes": "", "image_size": ""}
    torch.export.load(tmp_path / "model.pt2", extra_files=about)
    assert json.loads(about["classes"]) == ["ant", "bee", "fly"] and about["image_size"] == "32"


@exports
def test_a_file_of_onnx_answers_and_describes_itself(adapter, images, tmp_path):
    need("onnx", "onnxscript", "onnxruntime")
    import onnx

    adapter.export(tmp_path / "model.onnx")
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    pixels = torch.from_numpy(images).movedim(3, 1)
    answer = open_session(tmp_path / "model.onnx", threads=1)
    for count in (1, 3, 24):
        found, features = answer(pixels[:count])
        expected = adapter.predict_proba(images[:count])
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)
        np.testing.assert_allclose(features, adapter.transform(images[:count]), atol=1e-3)
    model = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(model)
    about = {each.key: each.value for each in model.metadata_props}
    assert json.loads(about["classes"]) == ["ant", "bee", "fly"]
    assert about["image_size"] == "32" and json.loads(about["domain"]) == ["target"]
    assert model.opset_import[0].version == int(about["opset"])
    assert {node.domain for node in model.graph.node} == {""}  # plain operators


@exports
def test_images_of_any_size_are_resized_as_those_of_files(adapter, tmp_path):
    need("onnx", "onnxscript", "onnxruntime")
    adapter.export(tmp_path / "model.onnx", format="onnx(resize=True)")
    answer = open_session(tmp_path / "model.onnx", threads=1)
    for height, width in ((50, 71), (90, 40)):
        image = np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)
        found, _ = answer(torch.from_numpy(image).movedim(2, 0)[None])
        expected = adapter.predict_proba(Image.fromarray(image))
        np.testing.assert_allclose(found.numpy(), expected, atol=5e-3)


@pytest.mark.parametrize("fit", ["crop", "pad", "squeeze"])
@pytest.mark.parametrize("shape", [(50, 71), (71, 50), (30, 30), (7, 5), (33, 200), (225, 100)])
def test_a_resized_pixel_differs_from_pillows_by_one_level_at_most(fit, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    expected = np.asarray(make_square(Image.fromarray(image), 32, fit)).astype(float)
    found = resize(torch.from_numpy(image).movedim(2, 0)[None].float(), 32, fit, whole=True)
    assert np.abs(found[0].movedim(0, 2).numpy() - expected).max() <= 1


@exports
def test_large_weights_are_in_a_second_file(adapter, tmp_path, monkeypatch):
    need("onnx", "onnxscript", "onnxruntime")
    monkeypatch.setattr(onnx_file, "LARGEST", 1000)
    adapter.export(tmp_path / "model.onnx", format="onnx(pixels='float')")
    assert {file.name for file in tmp_path.iterdir()} == {"model.onnx", "model.onnx.data"}
    assert len(open_session(tmp_path / "model.onnx")(torch.rand(2, 3, 32, 32))) == 2


@exports
def test_a_file_that_answers_otherwise_is_not_written(adapter, tmp_path, monkeypatch):
    monkeypatch.setattr("dacbn.export.comparison.FARTHEST", -1.0)
    with pytest.raises(ValueError, match="differs from the network by"):
        adapter.export(tmp_path / "model.pt2", format="torch")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_refused_in_words(adapter, tmp_path):
    with pytest.raises(UnknownNameError, match="unknown format 'onx'"):
        adapter.export(tmp_path / "model", format="onx")
    with pytest.raises(ValueError, match=r"end in \.pt2"):
        adapter.export(tmp_path / "model.onnx", format="torch")
    adapter.network.train()
    try:
        with pytest.raises(ValueError, match=r"adapter\.network\.eval\(\)"):
            adapter.export(tmp_path / "model.pt2", format="torch")
    finally:
        adapter.network.eval()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(adapter, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'dacbn\[onnx\]'"):
        adapter.export(tmp_path / "model.onnx")


@exports
def test_openvino_reads_the_file(adapter, images, tmp_path):
    need("onnx", "onnxscript", "onnxruntime")
    openvino = pytest.importorskip("openvino", reason="needs pip install 'dacbn[openvino]'")
    adapter.export(tmp_path / "model.onnx")
    # by default it computes in bfloat16 where the processor can, 1e-3 off
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    model = openvino.Core().compile_model(tmp_path / "model.onnx", "CPU", options)
    found = model(images[:5].transpose(0, 3, 1, 2))["probabilities"]
    np.testing.assert_allclose(found, adapter.predict_proba(images[:5]), atol=1e-5)


def test_every_format_has_the_name_of_a_file():
    assert set(formats.files) == set(formats)


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_a_folder_in_place_of_a_file_is_refused_in_words(adapter, tmp_path, monkeypatch, format):
    monkeypatch.chdir(tmp_path)
    folder = Path("model.pt2" if format == "torch" else ".")
    folder.mkdir(exist_ok=True)
    with pytest.raises(ValueError, match=r"is a folder: name a file in it"):
        adapter.export(folder, format)
