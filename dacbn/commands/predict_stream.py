"""`dacbn predict` for streams: rows are written as the images come."""

import csv
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from dacbn.commands.cells import to_cell
from dacbn.commands.prediction_table import Added, Predictions, write_table
from dacbn.commands.stream_options import StreamOptions
from dacbn.datasets import ImageFile
from dacbn.training import Interrupt, Stopped, StorageError, raising_stopped

if TYPE_CHECKING:
    from dacbn.adapter import DomainAdapter
    from dacbn.datasets import OnUnreadable
    from dacbn.streams import Stream, StreamedAnswers

BATCH_SIZE = 64
NOTE = "note"


def predict_stream(
    adapter: "DomainAdapter",
    images: Sequence[Path],
    options: StreamOptions,
    adapt: str | None,
    domain: str | None,
    on_unreadable: "OnUnreadable",
    top: int,
    added: Sequence[Added],
    output: Path | None,
) -> None:
    """Write the rows of `write_table`, each batch as soon as it is answered, and a column "note".

    The note says that the network has been returned to the source. Arguments as of `predict`.

    Raises:
        ValueError: no image came, or none could be read.
    """
    known = options.state is not None and options.state.exists()
    asked = Interrupt("the stream ends after this batch")
    stream = adapter.stream(
        _names(adapter, images, options.follow, asked),
        adapt,
        options.norm,
        options.batch_size or BATCH_SIZE,
        domain,
        on_unreadable,
        options.guard,
        options.state if known else None,
    )
    with _opened(output) as file, _saved(stream, options.state), asked:
        readable, reason = 0, ""
        for number, batch in enumerate(stream):
            text = _rows(batch, adapter.classes, top, added, heading=number == 0)
            file.write(text.encode(file.encoding, "backslashreplace").decode(file.encoding))
            file.flush()
            readable += len(batch.labels)
            reason = reason or next((a.reason for a in batch.answers if a.reason), "")
            _end_if(asked)
    if not readable:
        raise ValueError(f"none of {stream.seen} images can be read: {reason}")


def _names(
    adapter: "DomainAdapter", images: Sequence[Path], follow: bool, asked: Interrupt
) -> Iterator[ImageFile]:
    """Yield the files of all images, and then the names on standard input as they come."""
    from dacbn.datasets.listing import list_images

    files = list_images(*images, columns=adapter.config.columns) if images else []
    yield from files
    came, lines = bool(files), iter(sys.stdin.buffer if follow else ())
    while line := _next_line(lines, asked):
        if name := line.rstrip(b"\r\n"):
            came = True
            yield Path(os.fsdecode(name))
    if not came:
        raise ValueError("no image came on standard input: send the name of a file on each line")


def _next_line(lines: Iterator[bytes], asked: Interrupt) -> bytes:
    """Wait for a line, empty at the end, or for a signal: between batches nothing can be lost."""
    with raising_stopped():
        _end_if(asked)
        return next(lines, b"")


def _end_if(asked: Interrupt) -> None:
    if asked.requested is not None:
        raise Stopped(asked.requested)


def _rows(
    batch: "StreamedAnswers",
    classes: Sequence[str],
    top: int,
    added: Sequence[Added],
    heading: bool,
) -> str:
    files = [answer.file or Path() for answer in batch.answers]
    reasons = [answer.reason for answer in batch.answers]
    found = Predictions(files, reasons, batch.output, batch.labels, classes)
    head, *rows = csv.reader(io.StringIO(write_table(found, top, added)))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if heading:
        writer.writerow([*head, NOTE])
    note = "" if batch.returned is None else to_cell(batch.returned)
    writer.writerows([*row, note] for row in rows)
    return text.getvalue()


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    """Open what rows are written to, one after the other."""
    if output is None:
        yield sys.stdout
        return
    if output.is_dir():
        raise ValueError(f"--output needs a file to write, and {output} is a folder")
    try:
        file = output.open("w", encoding="utf-8")
    except OSError as error:
        raise StorageError(output, error) from error
    with file:
        yield file


@contextmanager
def _saved(stream: "Stream", state: Path | None) -> Iterator[None]:
    """Write the state of a stream when it ends, also if it is interrupted."""
    try:
        yield
    finally:
        if state is not None and stream.seen:
            stream.save(state)
