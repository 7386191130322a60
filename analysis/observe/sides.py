"""Sources and targets among domains: by the first word of their names in an analysis."""

from collections.abc import Mapping

import numpy as np

from dacbn.analysis.observe.outputs import DomainOutput


def is_source(domain: str) -> bool:
    """Whether a domain is a source: "source", or "source mnist" if there are several."""
    return domain.partition(" ")[0] == "source"


def pool(outputs: Mapping[str, DomainOutput], source: bool) -> DomainOutput | None:
    """Return the outputs of all sources, or of all targets, as one; None if there are none."""
    each = [output for domain, output in outputs.items() if is_source(domain) == source]
    if len(each) < 2:
        return each[0] if each else None
    labels = [output.labels for output in each if output.labels is not None]
    return DomainOutput(
        np.concatenate([output.features for output in each]),
        np.concatenate([output.probabilities for output in each]),
        np.concatenate(labels) if len(labels) == len(each) else None,
    )
