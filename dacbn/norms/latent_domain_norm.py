"""Normalisation by latent domains that the network discovers.

Paper: Mancini, Porzi, Rota Bulò, Caputo and Ricci, "Boosting Domain Adaptation by Discovering
Latent Domains", CVPR 2018, https://arxiv.org/abs/1805.01386.

The mathematics is ModeNorm's, with one gate for a whole network: the first normaliser assigns each
image to the domains, and all others use its assignments. A layer without a network has its own
gate.

Differs from the paper: the target's images are assigned like the source's, where the paper gives
them a separate domain and learns from domain labels where there are some; the gate is a linear
map of the first normaliser's pooled input instead of a branch of several layers. The entropy of
the assignments, which the paper adds to its loss, is not offered.
"""

from typing import Self

from torch import Tensor, nn

from dacbn.norms.contract import norms
from dacbn.norms.mode_norm import ModeNorm
from dacbn.norms.network.shared_assignments import SharedAssignments, share_assignments
from dacbn.norms.recomputation import is_recomputation


@norms.register("latent_domain_norm")
class LatentDomainNorm(ModeNorm):
    """Normalise by the moments of latent domains, assigned once for all layers of a network.

    Args:
        num_features: channels C.
        num_clusters: latent domains K; with one, the layer is BatchNorm.
        eps: added to every variance.
        momentum: weight of the newest batch in the running moments.
        affine: learn `weight` and `bias`, shared by the domains.

    Raises:
        RuntimeError: at a forward of a layer without a gate, outside of its network's.
        ValueError: an option has no such value; or the network turns positions into samples.
    """

    shared: SharedAssignments | None = None

    @property
    def assigns_together(self) -> bool:  # type: ignore[override]
        """Whether one gate assigns for all layers of a network."""
        return self.shared is not None

    def gate_samples(self, pooled: Tensor) -> Tensor:
        """Return to what degree each sample, of means (N, C), belongs to each domain: (N, K)."""
        if self.shared is None:
            return super().gate_samples(pooled)
        if self.shared.found is None and self.gate is not None:
            return self.shared.keep(super().gate_samples(pooled))
        if self.shared.found is None and is_recomputation():
            raise RuntimeError(
                "assignments are gone when a backward pass recomputes this layer: latent domains "
                "need gradient checkpointing turned off"
            )
        return self.shared.read(pooled.shape[0])

    @classmethod
    def after_conversion(
        cls, model: nn.Module, layers: dict[str, Self], example: Tensor | None
    ) -> list[str]:
        """Keep the gate of the layer that runs first; the others share its assignments."""
        first = share_assignments(model, layers)
        for name, layer in layers.items():
            if name != first:
                layer.gate = None
        return [f"{first} assigns the images to latent domains for all {len(layers)} layers"]
