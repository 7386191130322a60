"""dacbn predict: label images."""

import shlex
import sys
from itertools import chain
from pathlib import Path
from typing import Literal

from tyro.conf import OmitArgPrefixes, Positional

from dacbn.commands.by_turns import by_turns
from dacbn.commands.cells import to_cell
from dacbn.commands.estimates import why_no_estimate
from dacbn.commands.label_files import Precision, label_files
from dacbn.commands.prediction_output import check_output, is_parquet, put_gallery, put_table
from dacbn.commands.prediction_summary import summarise
from dacbn.commands.prediction_table import Added, Predictions, write_table
from dacbn.commands.recalibration import check_new_run, save_recalibrated, warn_if_few
from dacbn.commands.stream_options import StreamOptions
from dacbn.plain_text import plain, say
from dacbn.spelling import to_words
from dacbn.training.sure_methods import why_thin


@by_turns
def predict(
    run: Positional[Path],
    images: Positional[tuple[Path, ...]] = (),
    output: Path | None = None,
    report: Path | None = None,
    top: int = 1,
    add: tuple[Added, ...] = (),
    domain: str | None = None,
    adapt: str | None = None,
    recalibrate: bool = False,
    label_shift: str | None = None,
    summary: bool = False,
    save: Path | None = None,
    on_unreadable: Literal["skip", "raise"] = "skip",
    device: str = "auto",
    precision: Precision = "auto",
    stream: OmitArgPrefixes[StreamOptions] = StreamOptions(),  # noqa: B008  # frozen
) -> None:
    """Label images; print a CSV table with a row for every file: path, label, confidence, error.

    Args:
        run: a run folder.
        images: image files, or folders of them.
        output: write the table to this file, device or pipe instead; as Parquet if it ends with
            .parquet.
        report: also write a page to this file, with the images by predicted class, the surest and
            the least sure.
        top: how many of the likeliest classes to list. An image that is answered "unknown" lists
            that first, with the confidence of the likeliest class.
        add: further columns: probabilities of all classes, logits, features.
        domain: the domain that the images are of, if the run knows several targets: whose
            statistics are used. "average" takes the mean of all sources, for one never seen, as a
            run without target does by itself.
        adapt: a test-time method, such as tent or lame, that adapts the network to the images while
            it labels them; the run is not changed. Give many images: a single one is labelled as
            without it.
        recalibrate: first re-estimate normaliser statistics on these images (AdaBN); the run is not
            changed. Where they have labels, dacbn evaluate scores before and after.
        label_shift: em or bbse, which estimates the shares of the classes among these images, and
            corrects their probabilities for the difference from the source; give many images.
            Logits in the table are then the logarithms of the corrected probabilities.
        summary: print beside the table, to the error stream, how many images have each label and
            how many are probably right.
        save: with --recalibrate, write the recalibrated network to this new run folder.
        on_unreadable: what to do with images that cannot be decoded: skip gives them a row with the
            reason, raise stops.
        device: cpu, cuda, or auto.
        precision: of the network: float32, bfloat16, or auto, which is that of the training for
            images of at least 96 pixels. --adapt and --recalibrate take float32.
        stream: answers in order, as the images come.
    """
    from dacbn.adapter import DomainAdapter
    from dacbn.datasets import FileImages, Images, UnlabelledImages
    from dacbn.datasets.folders import read_each
    from dacbn.datasets.listing import list_images
    from dacbn.datasets.npz import is_array_row
    from dacbn.estimates import describe, estimate, see
    from dacbn.label_shift import check_estimator
    from dacbn.norms import require_statistics
    from dacbn.processes import is_shared

    in_order = stream.is_stream()
    if in_order and (recalibrate or label_shift is not None):
        raise ValueError(
            "--recalibrate and --label-shift look at all images first: leave out --order, "
            "--batch-size, --norm, --follow and --state"
        )
    if in_order and (report is not None or summary or is_parquet(output)):
        raise ValueError(
            "a stream is written row by row, as CSV: leave out --report, --summary, and a name "
            "that ends with .parquet; or leave out --order, --batch-size, --norm, --follow and "
            "--state"
        )
    if not images and not stream.follow:
        raise ValueError("give image files, or folders of them, to predict")
    if adapt is not None and recalibrate:
        raise ValueError("--adapt and --recalibrate both adapt to the images: choose one")
    if label_shift is not None:
        check_estimator(label_shift, adapt)
    check_new_run(save, recalibrate)
    check_output(output, report)
    adapter = DomainAdapter.from_pretrained(run, device)
    if recalibrate:
        require_statistics(adapter.network)
    if not 1 <= top <= len(adapter.classes):
        raise ValueError(f"--top must be 1 to {len(adapter.classes)}, the classes of {run}")
    if in_order:
        from dacbn.commands.predict_stream import predict_stream

        predict_stream(adapter, images, stream, adapt, domain, on_unreadable, top, add, output)
        return
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
        good = [file for file, reason in zip(files, reasons, strict=True) if reason is None]
        readable: Images = FileImages(tuple(good), adapter.image_size, adapter.config.fit)
    else:
        options = on_unreadable, adapter.config.fit
        readable, reasons = read_each(files, adapter.image_size, *options)
        if recalibrate and len(readable):
            warn_if_few(len(readable))
            adapter.recalibrate(UnlabelledImages(readable), domain)
        predictions = adapter.outputs(readable, domain, adapt, label_shift)
    labels = adapter.labels_of(predictions)
    answered = Predictions(files, reasons, predictions, labels, adapter.classes)
    table = write_table(answered, top, add, plain if is_parquet(output) else to_cell)
    put_table(table, output)
    if report is not None:
        given: dict[str, object] = {"report": report, "domain": domain, "adapt": adapt}
        given |= {"recalibrate": recalibrate or None, "label_shift": label_shift}
        given |= {"precision": precision}
        words = [to_words(name, value) for name, value in given.items() if value is not None]
        again = shlex.join(["dacbn", "predict", *map(str, (run, *images)), *chain(*words)])
        title = f"{len(files):,} image{'s' * (len(files) != 1)} labelled by {run.name}"
        put_gallery(report, title, answered, readable, again)
        if output is not None:  # otherwise the table alone is printed
            say(f"wrote {report}")
    if summary and not all(reasons):
        reason = why_no_estimate(adapter, make=False)
        if adapt is not None or recalibrate or label_shift is not None:
            reason = "answers to source images are those of the network as it was trained"
        right = f"cannot tell: {reason}"
        if reason is None and adapter.held_out is not None:
            seen = see(adapter.held_out, predictions.logits)
            right = describe(estimate(seen, why_thin(adapter.config.method)))
        for line in summarise(labels, adapter.classes, sum(map(bool, reasons)), right):
            print(plain(line), file=sys.stderr)
    if all(reasons):
        raise ValueError(f"none of {len(files)} images can be read: {files[0]}: {reasons[0]}")
    if save is not None:
        save_recalibrated(adapter, save)
