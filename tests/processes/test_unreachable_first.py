"""A process that cannot reach the first one says so: nobody else does."""

import sys

import pytest

from dacbn import cli


def test_a_process_that_cannot_reach_the_first_says_so(monkeypatch, capsys):
    place = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "9"}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("TORCHELASTIC_USE_AGENT_STORE", raising=False)
    words = ["train", "--process-timeout", "0.01", "--device", "cpu", "--output", "unused"]
    monkeypatch.setattr(sys, "argv", ["dacbn", *words])
    with pytest.raises(SystemExit):
        cli.main()
    assert "process 1 cannot meet the others at 127.0.0.1:9" in capsys.readouterr().err
