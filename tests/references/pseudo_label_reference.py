"""FixMatch's and AdaMatch's losses image by image from the papers, in float64."""

import math


def softmax(row):
    """Return the probabilities of one row of logits."""
    highest = max(row)
    powers = [math.exp(value - highest) for value in row]
    return [power / sum(powers) for power in powers]


def cross_entropy(rows, labels):
    """Return the mean of -log softmax(row)[label]."""
    terms = [-math.log(softmax(row)[label]) for row, label in zip(rows, labels, strict=True)]
    return sum(terms) / len(terms)


def mean_of_rows(rows):
    """Return the mean of each column."""
    return [sum(column) / len(rows) for column in zip(*rows, strict=True)]


def fixmatch(weak, strong, threshold):
    """Return the unlabelled loss and the share of images that count; logits as lists of rows."""
    total, counted = 0.0, 0
    for weak_row, strong_row in zip(weak, strong, strict=True):
        q = softmax(weak_row)
        if max(q) >= threshold:
            total -= math.log(softmax(strong_row)[q.index(max(q))])
            counted += 1
    return total / len(weak), counted / len(weak)


class AdaMatch:
    """The losses of one step after another; all logits are lists of rows."""

    def __init__(self, classes):
        self.source_mean = [1 / classes] * classes
        self.window = [[1 / classes] * classes] * 128

    def step(self, together, alone, uniform, labels, target_weak, target_strong, progress):
        """Return the source's loss, the target's, the share that counts and the threshold.

        Args:
            together: of weak, then strong source views, in the pass of both domains.
            alone: of the same in their own pass.
            uniform: what was drawn for each of these logits.
            labels: of the source images.
            target_weak: of the target's weak views.
            target_strong: of its strong views.
            progress: share of the training.
        """
        source = [
            [z + u * (own - z) for z, own, u in zip(*rows, strict=True)]
            for rows in zip(together, alone, uniform, strict=True)
        ]
        weak, strong = source[: len(labels)], source[len(labels) :]
        source_loss = 0.5 * (cross_entropy(weak, labels) + cross_entropy(strong, labels))

        source_p = [softmax(row) for row in weak]
        target_p = [softmax(row) for row in target_weak]
        threshold = 0.9 * sum(max(p) for p in source_p) / len(source_p)
        self.source_mean = [
            0.999 * old + 0.001 * new
            for old, new in zip(self.source_mean, mean_of_rows(source_p), strict=True)
        ]
        self.window = [*self.window[1:], mean_of_rows(target_p)]
        target_mean = mean_of_rows(self.window)

        total, counted = 0.0, 0
        for p, strong_row in zip(target_p, target_strong, strict=True):
            scaled = [
                value * (1e-6 + s) / (1e-6 + t)
                for value, s, t in zip(p, self.source_mean, target_mean, strict=True)
            ]
            q = [value / sum(scaled) for value in scaled]
            if max(q) >= threshold:
                total -= math.log(softmax(strong_row)[q.index(max(q))])
                counted += 1
        rise = (1 - math.cos(2 * math.pi * progress)) / 2 if progress < 0.5 else 1.0
        return source_loss, rise * total / len(target_p), counted / len(target_p), threshold
