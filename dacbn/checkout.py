"""What differs where Python starts in a checkout.

The links to datasets/ and analysis/ may be missing, as in a clone on Windows: where git makes no
symbolic links, it writes text files that hold their targets. And the folder datasets/ has the name
of Hugging Face's library, which other libraries and users import.
"""

import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from pathlib import Path

if any(find_spec(f"dacbn.{room}") is None for room in ("datasets", "analysis")):
    raise ImportError(
        "dacbn/datasets and dacbn/analysis are no links: allow symbolic links (on Windows, by the "
        "developer mode), run git config core.symlinks true, and then git checkout -- "
        "dacbn/datasets dacbn/analysis; if dacbn was installed from there, install it again"
    )


def import_installed(name: str) -> None:
    """Import the library of this name that is installed, in place of a folder of the checkout.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    checkout = Path(__file__).resolve().parents[1]
    places = [place for place in sys.path if Path(place).resolve() != checkout]
    spec = PathFinder.find_spec(name, places)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    sys.modules[name] = module = module_from_spec(spec)
    spec.loader.exec_module(module)
