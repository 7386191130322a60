"""dacbn predict: label images."""

import sys
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from dacbn.adapter import DomainAdapter
from dacbn.commands.by_turns import by_turns
from dacbn.commands.label_files import Precision, label_files
from dacbn.commands.prediction_table import Added, Predictions, write_table
from dacbn.commands.recalibration import check_new_run, save_recalibrated, warn_if_few
from dacbn.datasets import UnlabelledImages
from dacbn.datasets.folders import read_each
from dacbn.datasets.listing import list_images
from dacbn.datasets.npz import is_array_row
from dacbn.label_shift import check_estimator
from dacbn.plain_text import say
from dacbn.processes import is_shared
from dacbn.training import write_output


@by_turns
def predict(
    run: Positional[Path],
    images: Positional[tuple[Path, ...]],
    output: Path | None = None,
    top: int = 1,
    add: tuple[Added, ...] = (),
    domain: str | None = None,
    adapt: str | None = None,
    recalibrate: bool = False,
    label_shift: str | None = None,
    save: Path | None = None,
    on_unreadable: Literal["skip", "raise"] = "skip",
    device: str = "auto",
    precision: Precision = "auto",
) -> None:
    """Label images; print a CSV table with a row for every file: path, label, confidence, error.

    Args:
        run: a run folder.
        images: image files, or folders of them.
        output: write the table to this file, device or pipe instead.
        top: how many of the likeliest classes to list. An image that is answered "unknown" lists
            that first, with the confidence of the likeliest class.
        add: further columns: probabilities of all classes, logits, features.
        domain: the domain that the images are of, if the run knows several targets: whose
            statistics are used. "average" takes the mean of all sources, for one never seen, as a
            run without target does by itself.
        adapt: a test-time method, tent or sar, that adapts the network to the images while it
            labels them; the run is not changed. Give many images: a single one is labelled as
            without it.
        recalibrate: first re-estimate normaliser statistics on these images (AdaBN); the run is not
            changed.
        label_shift: em or bbse, which estimates the shares of the classes among these images, and
            corrects their probabilities for the difference from the source; give many images.
            Logits in the table are then the logarithms of the corrected probabilities.
        save: with --recalibrate, write the recalibrated network to this new run folder.
        on_unreadable: what to do with images that cannot be decoded: skip gives them a row with the
            reason, raise stops.
        device: cpu, cuda, or auto.
        precision: of the network: float32, bfloat16, or auto, which is that of the training for
            images of at least 96 pixels. --adapt and --recalibrate take float32.
    """
    if not images:
        raise ValueError("give image files, or folders of them, to predict")
    if adapt is not None and recalibrate:
        raise ValueError("--adapt and --recalibrate both adapt to the images: choose one")
    if label_shift is not None:
        check_estimator(label_shift, adapt)
    check_new_run(save, recalibrate)
    adapter = DomainAdapter.from_pretrained(run, device)
    if not 1 <= top <= len(adapter.classes):
        raise ValueError(f"--top must be 1 to {len(adapter.classes)}, the classes of {run}")
    if label_shift is not None and adapter.held_out is None:
        raise ValueError(
            f"{run} has no outputs on held-out source images, which --label-shift needs: write "
            f"them with dacbn evaluate {run} --label-shift {label_shift}, where the source is, or "
            "train again"
        )
    files = list_images(*images, columns=adapter.config.columns)
    whole = adapt is not None or recalibrate or is_shared()
    if not whole and not any(isinstance(file, Path) and is_array_row(file) for file in files):
        predictions, reasons = label_files(
            adapter, files, domain, label_shift, on_unreadable, precision
        )
    else:
        options = on_unreadable, adapter.config.fit
        readable, reasons = read_each(files, adapter.image_size, *options)
        if recalibrate and len(readable):
            warn_if_few(len(readable))
            adapter.recalibrate(UnlabelledImages(readable), domain)
        predictions = adapter.outputs(readable, domain, adapt, label_shift)
    labels = adapter.labels_of(predictions)
    table = write_table(Predictions(files, reasons, predictions, labels, adapter.classes), top, add)
    if output is None:
        _print(table)
    else:
        write_output(output, table)
        if output.is_file():  # the table itself may have gone to what this would be printed to
            say(f"wrote {output}")
    if all(reasons):
        raise ValueError(f"none of {len(files)} images can be read: {files[0]}: {reasons[0]}")
    if save is not None:
        save_recalibrated(adapter, save)


def _print(table: str) -> None:
    """Print a table; what the encoding of the output lacks becomes an escape."""
    encoding = sys.stdout.encoding or "utf-8"
    print(table.encode(encoding, "backslashreplace").decode(encoding), end="")
