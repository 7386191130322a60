"""How test scores are printed."""

from collections.abc import Mapping


def print_scores(numbers: Mapping[str, float]) -> None:
    """Print the accuracies among some numbers, a line for each test split."""
    for name in ("source_test", "target_test"):
        if f"{name}_accuracy" in numbers:
            accuracy, by_class = numbers[f"{name}_accuracy"], numbers[f"{name}_class_accuracy"]
            print(
                f"{name.replace('_', ' ')}: accuracy {accuracy:.1%}, mean of classes {by_class:.1%}"
            )
