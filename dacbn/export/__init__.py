"""Trained networks outside of dacbn, one format per file."""

from dacbn.export.formats import Formats as Formats
from dacbn.export.formats import formats as formats
from dacbn.export.formats import write as write
