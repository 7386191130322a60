"""What a network answers to images, to compare others with."""

import torch
from torch import Tensor

from dacbn.batch import Output, domain_ids
from dacbn.models import Network


@torch.inference_mode()
def answers(network: Network, images: Tensor, domain: int, head: bool = True) -> Tensor:
    """Compute class probabilities, or the features of the backbone.

    Args:
        network: in evaluation mode.
        images: (B, 3, S, S), float in [0, 1].
        domain: the id of the domain whose statistics are used.
        head: whether the classifier answers.
    """
    ids = domain_ids(len(images), domain, images.device)
    if not head:
        return network.run_backbone(images, ids)
    output: Output = network(images, ids)
    return output.logits.softmax(1)
