"""The one entry to normalisation by a mixture takes input of any size and type."""

import pytest
import torch
from mixture_cases import as_records, draw_tables

from dacbn.norms.mixture.arguments import Options
from dacbn.norms.mixture.normalise import normalise_by_mixture


@pytest.mark.parametrize("assign", ["channel", "position", "sample"])
@pytest.mark.parametrize("shape", [(0, 4), (0, 4, 2, 2), (3, 4, 0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_an_input_without_values_gives_one_and_gradients_of_zero(assign, shape, dtype):
    tables = draw_tables(3, 4)
    if assign != "channel":
        tables |= {name: tables[name][:, :1] for name in ("log_prior", "scale")}
    precise = torch.float64 if dtype == torch.float64 else torch.float32
    tables = {name: value.to(precise).requires_grad_() for name, value in tables.items()}
    x = torch.zeros(shape, dtype=dtype, requires_grad=True)
    y, *_ = normalise_by_mixture(x, *as_records(tables), Options(1e-5, from_batch=False), assign)
    assert y.shape == shape and y.dtype == dtype
    y.sum().backward()
    assert x.grad.shape == shape
    for name, table in tables.items():
        assert table.grad.eq(0).all(), name
