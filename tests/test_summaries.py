"""Names that are read from the files are those that are registered."""

from importlib import import_module

import pytest

from dacbn.commands.list_names import REGISTRIES
from dacbn.commands.summaries import read_summaries


@pytest.mark.parametrize("kind", REGISTRIES)
def test_what_is_read_is_what_is_registered(kind):
    room, variable = REGISTRIES[kind]
    registry = getattr(import_module(room), variable)
    said = {name: registry.describe(name)["does"] for name in registry}
    assert read_summaries(room, variable) == said
    assert list(said) == list(read_summaries(room, variable))
