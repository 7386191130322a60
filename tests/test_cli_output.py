"""What is printed suits where it goes: any encoding, and no control characters of names."""

import io
import signal
import sys
import warnings

import pytest
from PIL import Image

from dacbn import cli
from dacbn.training import InterruptedTraining, load_checkpoint
from dacbn.training.interrupt import SIGNALS


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_output_that_cannot_show_an_arrow_is_no_error(monkeypatch, encoding):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding))

    def arrow():
        print("mnist → usps")

    monkeypatch.setattr(cli, "COMMANDS", {"list": arrow, "other": arrow})
    monkeypatch.setattr(sys, "argv", ["dacbn", "list"])
    cli.main()
    sys.stdout.flush()
    assert written.getvalue() == b"mnist ? usps\n"


def test_errors_and_warnings_show_no_control_characters(monkeypatch, capsys):
    def fail():
        warnings.warn("a\x1b[31mred", stacklevel=1)
        raise ValueError("no folder\n\x1b]0;title\x07 here")

    monkeypatch.setattr(cli, "COMMANDS", {"fail": fail, "other": print})
    monkeypatch.setattr(sys, "argv", ["dacbn", "fail"])
    with warnings.catch_warnings(), pytest.raises(SystemExit) as stop:
        warnings.simplefilter("always")
        cli.main()
    assert stop.value.code == 1
    err = capsys.readouterr().err
    assert err == "dacbn: warning: a [31mred\ndacbn: no folder ]0;title here\n"


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_closes_what_is_open_and_gives_the_status_that_shells_expect(
    monkeypatch, capfd, number
):
    closed = []

    def work():
        try:
            signal.raise_signal(number)
        finally:
            closed.append(True)

    before = signal.getsignal(number)
    monkeypatch.setattr(cli, "COMMANDS", {"work": work, "other": print})
    monkeypatch.setattr(sys, "argv", ["dacbn", "work"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 128 + number and closed
    assert capfd.readouterr() == ("", "") and signal.getsignal(number) is before


def test_a_benchmark_that_is_stopped_in_a_training_ends_quietly(monkeypatch, capfd):
    def work():
        raise InterruptedTraining("stopped after step 3 of 9", signal.SIGTERM)

    monkeypatch.setattr(cli, "COMMANDS", {"work": work, "other": print})
    monkeypatch.setattr(sys, "argv", ["dacbn", "work"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 128 + signal.SIGTERM and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("numbers", [[signal.SIGINT] * 3, [signal.SIGTERM], [signal.SIGUSR2] * 2])
def test_a_training_that_is_stopped_is_saved_and_says_how_to_go_on(
    monkeypatch, tmp_path, capfd, numbers
):
    def press(timed, _):
        if timed._state.step == 2:
            for number in numbers:
                signal.raise_signal(number)

    monkeypatch.setattr("dacbn.training.loop.Forecast.after_step", press)
    for name in ("s/cup", "s/pen", "t/cup", "t/pen"):
        (tmp_path / name).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (32, 32), (40 * number, 0, 0)).save(tmp_path / name / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    words = ["train", "--norm", "batch_norm", "--method", "source_only", "--device", "cpu"]
    words += ["--source", "s", "--target", "t", "--image-size", "32", "--run", "run"]
    words += ["--source-batch-size", "4", "--target-batch-size", "4"]
    monkeypatch.setattr(sys, "argv", ["dacbn", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 128 + numbers[0]
    output, errors = capfd.readouterr()
    assert errors.count(f"dacbn: {numbers[0].name}: the training is saved and stops") == 1
    last = output.splitlines()[-1]
    assert last.startswith("stopped after step 2 of 600; everything is saved. Continue with: ")
    assert load_checkpoint(tmp_path / "run")["step"] == 2
