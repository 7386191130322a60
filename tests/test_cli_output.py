"""What is printed suits where it goes: any encoding, and no control characters of names."""

import io
import sys
import warnings

import pytest

from dacbn import cli


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
