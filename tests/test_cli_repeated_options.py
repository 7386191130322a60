"""An option that is given twice is refused, because only the last of its values would count."""

import sys

import pytest

from dacbn import cli

ALL_IN_ONE = {
    "train --source mnist --source usps": "--source is given twice: give all in one: --source a b",
    "train --target a --seed 1 --target=b": "give all in one: --target a b",
    "train digits --validators bnm --validators snd": "give all in one: --validators a b",
    "compare --output c --norms batch_norm --norms ucb_norm": "--norms a b",
    "predict run images --add logits --add features": "--add is given twice: give all in one",
}
KEEP_ONE = {
    "train --seed 1 --seed 2": "--seed is given twice: keep one",
    "train --source-batch-size 4 --source_batch_size 8": "--source-batch-size is given twice",
    "train --method dann --method cdan": "--method is given twice: keep one",
    "train --resume a --resume b": "--resume is given twice: keep one",
    "evaluate run --target a --target b": "--target is given twice: keep one",
}


@pytest.mark.parametrize(("line", "said"), (ALL_IN_ONE | KEEP_ONE).items())
def test_the_cure_is_said_on_one_line(line, said, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["dacbn", *line.split()])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed = capsys.readouterr().err
    assert stop.value.code == 1
    assert said in printed and printed.count("\n") == 1


def test_several_values_of_one_option_are_taken(monkeypatch, capsys):
    words = "train --source mnist usps --target svhn mnist_m --steps 0"
    monkeypatch.setattr(sys, "argv", ["dacbn", *words.split()])
    with pytest.raises(SystemExit):
        cli.main()
    assert "--steps must be at least 1" in capsys.readouterr().err
