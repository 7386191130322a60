"""Every number that metrics.jsonl can hold: its name, unit and panel in the figure of the curves.

The names made here have constants. Methods and validators make theirs themselves, and a test checks
that the table has all of them.
"""

from enum import StrEnum
from typing import NamedTuple

SOURCE_ACCURACY = "source_accuracy"
DOMAIN_ACCURACY = "domain_accuracy"
LEARNING_RATE = "lr"
STEPS_PER_SECOND = "steps_per_second"
SOURCE_TEST_ACCURACY = "source_test_accuracy"
TARGET_TEST_ACCURACY = "target_test_accuracy"
TEST_ACCURACY = {"source": SOURCE_TEST_ACCURACY, "target": TARGET_TEST_ACCURACY}
TEST_CLASS_ACCURACY = {
    "source": "source_test_class_accuracy",
    "target": "target_test_class_accuracy",
}
SOURCE_TEST, TARGET_TEST = "source_test", "target_test"  # prefixes of scores on test sets
CLASSES_PRESENT = {
    "source": "source_test_classes_present",
    "target": "target_test_classes_present",
}
NUM_IMAGES = {"source": "source_test_images", "target": "target_test_images"}
# of a target with unknown classes: mean over known classes, unknown images, their harmonic mean
TARGET_TEST_KNOWN = "target_test_known_accuracy"
TARGET_TEST_UNKNOWN = "target_test_unknown_accuracy"
TARGET_TEST_H_SCORE = "target_test_h_score"
UNKNOWN_THRESHOLD = "unknown_threshold"  # entropy above which an answer is "unknown"
OF_DOMAIN = "/"  # before the name of a domain, in the score of one among several
VALIDATOR = "validator_"  # prefix of the scores that validators compute


class Panel(StrEnum):
    """Panels of the figure of the curves, in order, by title."""

    LOSSES = "Losses"
    TEST_ACCURACY = "Test accuracy"
    VALIDATORS = "Validators"
    TRAINING_ACCURACY = "Training accuracy"
    STRENGTHS = "Strengths and thresholds"
    PREDICTIONS = "Predictions"
    NORMS = "Feature norms"
    LEARNING_RATE = "Learning rate"
    SPEED = "Speed"
    OTHER = "Other"  # names that the table does not have, such as those of a user's own method


class Metric(NamedTuple):
    """A number that a training records.

    Attributes:
        unit: unit of the values, for the axis of a figure.
        panel: panel that shows it; None if it is recorded and not drawn.
        needs_target_labels: whether target labels are needed to compute it.
    """

    unit: str
    panel: Panel | None
    needs_target_labels: bool = False


# Losses are weighted as optimised, so terms added to a cross-entropy are in nats too.
_LOSS = Metric("nats", Panel.LOSSES)
_SHARE = Metric("share", Panel.TRAINING_ACCURACY)

METRICS: dict[str, Metric] = {
    # losses of methods
    "classification": _LOSS,
    "adversarial": _LOSS,
    "conditional_domain": _LOSS,
    "confusion": _LOSS,
    "coral": _LOSS,
    "discrepancy": _LOSS,
    "domain": _LOSS,
    "entropy": _LOSS,
    "feature_norm": _LOSS,
    "information": _LOSS,
    "joint_mmd": _LOSS,
    "margin_disparity": _LOSS,
    "mmd": _LOSS,
    "moment_discrepancy": _LOSS,
    "moment_distance": _LOSS,
    "nuclear_norm": _LOSS,
    "open_set": _LOSS,
    "pseudo_label": _LOSS,
    "source_smoothness": _LOSS,
    "spectral": _LOSS,
    "target_smoothness": _LOSS,
    "two_classifiers": _LOSS,
    # metrics of methods
    SOURCE_ACCURACY: _SHARE,
    DOMAIN_ACCURACY: _SHARE,
    "labelled_accuracy": _SHARE,
    "source_agreement": _SHARE,
    "target_agreement": _SHARE,
    "pseudo_label_agreement": _SHARE,
    "confident": Metric("share", Panel.STRENGTHS),
    "threshold": Metric("probability", Panel.STRENGTHS),
    "adversarial_strength": Metric("factor", Panel.STRENGTHS),
    "pseudo_label_weight": Metric("factor", Panel.STRENGTHS),
    "source_weight": Metric("factor", Panel.STRENGTHS),
    "unknown_share": Metric("share", Panel.PREDICTIONS),
    "target_entropy": Metric("nats", Panel.PREDICTIONS),
    "mutual_information": Metric("nats", Panel.PREDICTIONS),
    "source_feature_norm": Metric("Euclidean norm", Panel.NORMS),
    "target_feature_norm": Metric("Euclidean norm", Panel.NORMS),
    # of the loop
    LEARNING_RATE: Metric("learning rate", Panel.LEARNING_RATE),
    STEPS_PER_SECOND: Metric("steps per second", Panel.SPEED),
    # of evaluations; the mean over classes is close to the accuracy and therefore not drawn
    SOURCE_TEST_ACCURACY: Metric("accuracy", Panel.TEST_ACCURACY),
    TARGET_TEST_ACCURACY: Metric("accuracy", Panel.TEST_ACCURACY, needs_target_labels=True),
    TEST_CLASS_ACCURACY["source"]: Metric("accuracy", None),
    TEST_CLASS_ACCURACY["target"]: Metric("accuracy", None, needs_target_labels=True),
    CLASSES_PRESENT["source"]: Metric("classes", None),
    CLASSES_PRESENT["target"]: Metric("classes", None, needs_target_labels=True),
    NUM_IMAGES["source"]: Metric("images", None),
    NUM_IMAGES["target"]: Metric("images", None, needs_target_labels=True),
    TARGET_TEST_KNOWN: Metric("accuracy", None, needs_target_labels=True),
    TARGET_TEST_UNKNOWN: Metric("accuracy", None, needs_target_labels=True),
    TARGET_TEST_H_SCORE: Metric("accuracy", Panel.TEST_ACCURACY, needs_target_labels=True),
    UNKNOWN_THRESHOLD: Metric("nats", Panel.PREDICTIONS),
}
# Validators have different units, so they are drawn as shares of their own ranges.
VALIDATOR_METRIC = Metric("share of own range", Panel.VALIDATORS)


def find_metric(name: str) -> Metric | None:
    """Look up a name of metrics.jsonl; None for an unknown one."""
    return VALIDATOR_METRIC if is_validator(name) else METRICS.get(name.partition(OF_DOMAIN)[0])


def is_validator(name: str) -> bool:
    """Whether a name is that of a validator's score."""
    return name.startswith(VALIDATOR)
