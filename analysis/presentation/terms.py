"""What the numbers of a report mean: a sentence for each, and its definition.

The definitions are those of the glossary of the documentation.
"""

from typing import NamedTuple


class Term(NamedTuple):
    """A number.

    Attributes:
        sentence: what it tells, in plain words.
        definition: how it is computed.
    """

    sentence: str
    definition: str


TERMS = {
    "confidence": Term(
        "How probable the network finds its own answer; it can be sure and wrong.",
        "probability of the predicted class",
    ),
    "confusion": Term(
        "Which class is taken for which.",
        "share of the images of a class (row) that are predicted as another (column)",
    ),
    "total variation": Term(
        "How different two class balances are: 0 is the same, 1 has nothing in common.",
        "half the sum of the absolute differences of two class distributions: the share of "
        "predictions that would have to change class to make them equal",
    ),
    "expected calibration error (ECE)": Term(
        "How far the confidence is from the share of right answers; 0 is perfect.",
        "mean over bins of images with similar confidence of the distance between confidence and "
        "accuracy",
    ),
    "proxy A-distance": Term(
        "How easily the domains can be told apart by their features: 0 not at all, 2 always.",
        "2 (1 \N{MINUS SIGN} 2 e), where e is the cross-validated error of a logistic regression "
        "that predicts the domain from the features",
    ),
    "silhouette": Term(
        "How well the classes are separated: 1 is perfectly, 0 is mixed.",
        "how much closer images are to their own class than to the nearest other class, in feature "
        "space",
    ),
    "trustworthiness": Term(
        "Whether neighbours in the picture are true neighbours: 1 is always.",
        "whether the ten nearest neighbours in a t-SNE plot are neighbours among the features",
    ),
    "t-SNE": Term(
        "A flat map of the features: near points are alike, far ones need not differ.",
        "a plane in which near neighbours stay near; distances between groups have no meaning",
    ),
    "Wasserstein distance": Term(
        "How far one domain's activations lie from the other's; 0 is the same.",
        "how far the values of a channel have to move on average to turn one domain's distribution "
        "into the other's, in standard deviations within a domain; mean over channels",
    ),
    "MMD²": Term(
        "The same for all channels together; about 0 is the same.",
        "squared maximum mean discrepancy of images' mean activations, with a Gaussian kernel "
        "whose width is the median distance; unbiased",
    ),
    "halves of one domain": Term(
        "What chance alone gives: differences below it mean nothing.",
        "the same distance between two random halves of the first domain: the noise floor",
    ),
    "occupancy": Term(
        "How much of what passes the layer each cluster takes.",
        "share of the activations that a cluster holds, by responsibility",
    ),
    "effective clusters": Term(
        "How many clusters the layer really uses.",
        "exp(entropy): how many equally large clusters would have this entropy",
    ),
    "entropy": Term(
        "How evenly the clusters are used; larger is more evenly.",
        "\N{MINUS SIGN}Σ s log s of the occupancies s, in nats",
    ),
    "information": Term(
        "How clearly activations belong to one cluster; near 0 they belong to none.",
        "entropy of the occupancies minus the mean entropy of single responsibilities, in nats: "
        "how clearly activations are assigned",
    ),
    "overlap": Term(
        "How alike the clusters are: 1 is the same, and then one would do.",
        "Bhattacharyya coefficient of two components, averaged over channels",
    ),
    "NMI": Term(
        "How far clusters match domains or classes: 0 not at all, 1 exactly.",
        "normalised mutual information of two partitions, by the mean of their entropies; here "
        "clusters with domains or with classes",
    ),
    "ARI": Term(
        "The same, counted by pairs and corrected for chance.",
        "adjusted Rand index of the same: agreement of pairs, corrected for chance",
    ),
    "movement": Term(
        "Whether the clusters still change at the end of the training; near 0 they do not.",
        "how far a component's mean moved between two snapshots, in standard deviations, root mean "
        "square over channels",
    ),
    "log-likelihood": Term(
        "How well a mixture describes the activations; higher is better.",
        "mean log-density of held-out activations under a mixture, in nats per value",
    ),
    "BIC": Term(
        "The same with a price for every component; lower is better.",
        "Bayesian information criterion, parameters · log n \N{MINUS SIGN} 2 · log-likelihood, "
        "per value; the figure shows half of it, in nats, minus its minimum",
    ),
    "components by BIC": Term(
        "How many clusters the activations suggest.",
        "number of components, 1 to 8, with the lowest BIC",
    ),
    "norm": Term(
        "How strongly a loss changes a layer; near 0 the layer does not learn.",
        "length of a loss's gradient at a layer's weights, averaged over batches first",
    ),
    "variance": Term(
        "How much that changes from batch to batch; lower is calmer.",
        "variance of the gradient between batches, mean over the weights of a layer",
    ),
}
"""By the words of the glossary."""
