"""What tests of kernels share."""

import pytest

from dacbn.norms.mixture.kernels import choose


@pytest.fixture(params=["fused", "chunked"])
def path(request, monkeypatch):
    """Use one of the two implementations that need no tensor of K copies of the activations."""
    if request.param == "chunked":
        monkeypatch.setattr(choose, "find_kernels", lambda *_: "not wanted")
        monkeypatch.setattr("dacbn.norms.mixture.by_channel.CPU_CHUNK", 2000)
    elif isinstance(found := choose.find_kernels("cpu", 3), str):
        pytest.skip(f"no kernel: {found}")
    return request.param
