"""How well a line that was fitted to the source separates the classes of the target."""

import torch


def accuracy_in_the_target(y, ids, labels):
    """Return the share that is right in domain 1, of a least-squares fit in domain 0.

    y is (N, C), labels are 0 or 1.
    """
    rows = torch.cat([y, torch.ones(len(y), 1)], 1)
    source, target = ids == 0, ids == 1
    line = torch.linalg.lstsq(rows[source], 2.0 * labels[source, None] - 1).solution[:, 0]
    return ((rows[target] @ line > 0) == (labels[target] == 1)).float().mean()
