"""Print how good a run probably is on images without labels."""

from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dacbn.adapter import DomainAdapter
    from dacbn.estimates import Estimate


def why_no_estimate(adapter: "DomainAdapter", make: bool = True) -> str | None:
    """Say why the accuracy cannot be estimated; None if it can.

    Args:
        adapter: a trained network.
        make: run it on held-out source images, if it lacks their outputs and they are at hand.
    """
    from dacbn.datasets import is_stream
    from dacbn.training import IN_MEMORY

    if adapter.config.unknown:
        return 'how many images are of unknown classes is not known, and answers may be "unknown"'
    if adapter.held_out is None and make:
        sources = adapter.config.source
        if IN_MEMORY not in sources and not any(map(is_stream, sources)):
            with suppress(ValueError, OSError):
                adapter.hold_out(*sources)
    if adapter.held_out is None:
        return (
            "it needs outputs on held-out source images, which a training keeps that scores its "
            "source, and dacbn evaluate makes where the source is"
        )
    return None


def describe_estimate(name: str, found: "Estimate") -> str:
    """Say what was estimated, and what each estimator says of it."""
    from dacbn.estimates import describe

    each = ", ".join(f"{by} {100 * share:.0f}" for by, share in found.by.items())
    return f"{name}: {describe(found)}" + (f" ({each})" if found.can_tell else "")
