"""Say what to do when the links to datasets/ and analysis/ are missing, as in a clone on Windows.

Where git makes no symbolic links, it writes text files that hold their targets.
"""

from importlib.util import find_spec

if any(find_spec(f"dacbn.{room}") is None for room in ("datasets", "analysis")):
    raise ImportError(
        "dacbn/datasets and dacbn/analysis are no links: allow symbolic links (on Windows, by the "
        "developer mode), run git config core.symlinks true, and then git checkout -- "
        "dacbn/datasets dacbn/analysis; if dacbn was installed from there, install it again"
    )
