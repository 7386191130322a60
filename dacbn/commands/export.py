"""dacbn export: write a trained network in a format that other programs read."""

from pathlib import Path

from tyro.conf import Positional

from dacbn.plain_text import say
from dacbn.spec import Spec


def export(
    run: Positional[Path],
    format: Spec = Spec("onnx"),  # noqa: B008  # frozen
    output: Path | None = None,
    domain: str | None = None,
) -> None:
    """Write the network of a run in a format that other programs read, without dacbn.

    Args:
        run: a run folder.
        format: a format, with its options in brackets, as in "onnx(resize=True)"; dacbn list
            formats shows all.
        output: file, or folder, to write; by default it is in the run folder.
        domain: the domain that images will be of, if the run knows several targets: whose
            statistics are used. "average" takes the mean of the answers by all sources.
    """
    from dacbn.adapter import DomainAdapter
    from dacbn.export import formats

    for term in format.terms:
        formats.check(term)  # before the weights are read
    adapter = DomainAdapter.from_pretrained(run, "cpu")
    path = output or run / formats.files[format.names[0]]
    adapter.export(path, format, domain)
    say(f"wrote {path}")
