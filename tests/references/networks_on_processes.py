"""Train networks on several processes and on one, and compare weights, statistics and outputs."""

import torch
import torch.nn.functional as F
from layers_on_processes import averaged, distances

from dacbn.models import create_network
from dacbn.norms import shared_batch_norms
from dacbn.processes import by_rows, sharing

CLASSES = 3
STEPS = 3
PARTS = (4, 3)
# Backbone, norm, and whether activations are checkpointed. Mixture Norm is left out: a component of
# one position gives exactly 0 there, and rounding decides whether a ReLU passes its gradient.
CASES = [
    *(
        ("digits_cnn", norm, False)
        for norm in (
            None,
            "batch_norm",
            "domain_specific_batch_norm",
            "trans_norm",
            "kalman_norm",
            "kalman_norm(transition='learned')",
            "lp_batch_norm",
            "scb_norm",
            "domain_specific_whitening",
            "latent_domain_norm",
            "ucb_norm(num_clusters=2)",
            "ucb_norm(num_clusters=2, assign='sample')",
        )
    ),
    ("resnet18", None, False),
    ("resnet18", "batch_norm", False),
    ("resnet18", "batch_norm", True),
    ("resnet18", "auto_dial", False),
]


def trained(backbone, norm, checkpointed):
    """Return the outputs of three steps of SGD, and the weights and statistics after them."""
    torch.manual_seed(0)
    network = create_network(backbone, norm, CLASSES, bottleneck=5).double().train()
    if checkpointed:
        network.backbone.set_grad_checkpointing()
    optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)
    ids = (torch.arange(sum(PARTS)) >= PARTS[0]).long()
    found = {}
    with shared_batch_norms(network):
        for step in range(STEPS):
            images = torch.rand(sum(PARTS), 3, 32, 32).double()
            features, logits = by_rows(network, images, ids, sizes=PARTS)
            # a loss that sees the whole batch
            loss = F.cross_entropy(logits, torch.arange(len(ids)) % CLASSES)
            loss = loss + features[ids == 0].mean(0).sub(features[ids == 1].mean(0)).square().sum()
            optimiser.zero_grad()
            loss.backward()
            for parameter in network.parameters():
                if parameter.grad is not None:
                    parameter.grad = averaged(parameter.grad)
            optimiser.step()
            found[f"logits {step}"] = logits.detach()
    return found | network.state_dict()


def train_all(rank, cases):
    """Return, by case, the largest relative difference from one process."""
    far = {}
    for case in cases:
        found = trained(*case)
        with sharing(None):
            far[case] = max(distances(found, trained(*case)).values())
    return far
