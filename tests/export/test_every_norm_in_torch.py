"""Every norm, trained, leaves as a program of torch that needs nothing of dacbn."""

import numpy as np
import pytest
import torch

from dacbn import DomainAdapter
from dacbn.norms import norms

pytestmark = pytest.mark.skipif(
    not hasattr(torch.compiler, "is_exporting"), reason="needs torch 2.7"
)
SPECS = [*norms, "ucb_norm(assign='position')", "ucb_norm(assign='sample')"]


@pytest.mark.slow
@pytest.mark.parametrize("spec", SPECS)
def test_every_norm_answers_alike_in_a_program_of_torch(spec, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), dtype=np.uint8)
    options = {"steps": 2, "source_batch_size": 12, "target_batch_size": 12, "log_every": 1}
    adapter = DomainAdapter(norm=spec, method="source_only", **options)
    adapter.fit((images, ["ant", "bee", "fly"] * 8), 255 - images)
    adapter.export(tmp_path / "model.pt2", format="torch")
    program = torch.export.load(tmp_path / "model.pt2")
    assert not any("dacbn" in str(node.target) for node in program.graph.nodes)
    for count in (1, 5):
        found = program.module()(torch.from_numpy(images[:count]).movedim(3, 1))[0]
        expected = adapter.predict_proba(images[:count])
        np.testing.assert_allclose(found.detach(), expected, atol=1e-5)
