"""The benchmark of exported networks times each runtime."""

import pytest

from dacbn.benchmarks import exports

pytest.importorskip("onnxruntime", reason="needs pip install 'dacbn[onnx]'")
pytest.importorskip("onnxscript", reason="needs pip install 'dacbn[onnx]'")


@pytest.mark.slow
def test_each_runtime_has_a_row_for_each_norm(monkeypatch):
    fast = {name: run for name, run in exports.RUNTIMES.items() if name != "torch.compile"}
    monkeypatch.setattr(exports, "RUNTIMES", fast)
    rows = exports.benchmark_exports(["ucb_norm"], "digits_cnn", [(32, 2)], rounds=1)
    assert [(row["runtime"], row["norm"]) for row in rows] == [
        (runtime, norm) for runtime in fast for norm in ("its own BatchNorm", "ucb_norm")
    ]
    assert all(row["images_per_second"] > 0 for row in rows)
