"""The report of a tuning, in Markdown: what was chosen, and what labels of the target would say."""

from collections.abc import Iterator, Mapping

from dacbn.comparison.render import to_markdown, to_plain
from dacbn.comparison.tables import NOTHING, Table
from dacbn.training import TrainConfig, train_command
from dacbn.training.against import compare_tests, describe_against
from dacbn.training.right_answers import read_right
from dacbn.tuning.results import FAILED, FINISHED, TunedTrial, Tuning
from dacbn.tuning.trials import run_folder

NAME = "tuning.md"
DETAILS = "## Trials"  # the heading that follows what is printed
OUT_OF_REACH = "by labels of the target, out of reach of the choice"


def write_report(tuning: Tuning, config: TrainConfig, chosen: TrainConfig | None) -> str:
    """Return the report.

    Args:
        tuning: the trials.
        config: the settings that they share.
        chosen: the settings of the chosen trial, if one has finished.
    """
    accuracies = tuning.accuracies()
    text = [f"# {to_plain(config.domains)}", "\n".join(_summary(tuning, accuracies))]
    text += [to_markdown(_rules(tuning, accuracies))] if tuning.finished else []
    text += [to_markdown(_trials(tuning, accuracies))]
    if failed := [each for each in tuning.trials if each.state == FAILED]:
        lines = [f"- trial {each.number}: {to_plain(each.why)}" for each in failed]
        text.append("\n".join(["## Failed\n", *lines, ""]))
    if chosen is not None:
        text.append(f"## Command of the chosen trial\n\n```bash\n{train_command(chosen)}\n```\n")
    return "\n\n".join(text[:2]) + "\n\n" + "\n".join(text[2:])


def _summary(tuning: Tuning, accuracies: Mapping[int, float]) -> Iterator[str]:
    states = [each.state for each in tuning.trials]
    count = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    yield f"- {len(states)} {'trial' if len(states) == 1 else 'trials'}: {count}"
    by_number = {each.number: each for each in tuning.trials}
    if tuning.chosen is None:
        yield "- no trial has finished, so that none is chosen"
        return
    rule = "a vote of " * (len(tuning.validators) > 1) + ", ".join(tuning.validators)
    chosen = by_number[tuning.chosen]
    yield f"- chosen by {rule}: trial {chosen.number}, {_changes(chosen)}"
    yield f"  - last checkpoint: {_scores(chosen, tuning, accuracies)}"
    if 0 in tuning.finished:
        yield "- the default settings are trial 0"
        yield f"  - last checkpoint: {_scores(by_number[0], tuning, accuracies)}"
        yield from _against_default(tuning, chosen.number)
    else:
        yield "- the default settings are trial 0, which has not finished"
    if accuracies:
        best = max(accuracies, key=accuracies.__getitem__)
        yield f"- {OUT_OF_REACH}: the best is trial {best}, {tuning.describe_accuracy(best)}"
        regrets = [f"of the choice {_points(accuracies, best, chosen.number)}"]
        regrets += [f"of the default {_points(accuracies, best, 0)}"] if 0 in accuracies else []
        yield f"  - regret {', '.join(regrets)} points"
    yield f"- ready: {run_folder(tuning.folder, chosen.number)}"


def _against_default(tuning: Tuning, chosen: int) -> Iterator[str]:
    """Compare the choice with the default settings image by image, on targets with labels."""
    if chosen != 0:
        ours, theirs = (read_right(run_folder(tuning.folder, each)) for each in (chosen, 0))
        for domain, found in compare_tests(ours, theirs).items():
            title = f"the choice on {domain}"
            yield f"  - {to_plain(describe_against(title, 'the default', found))}"


def _points(accuracies: Mapping[int, float], best: int, number: int) -> str:
    found = accuracies.get(number)
    return NOTHING if found is None else f"{100 * (accuracies[best] - found):.1f}"


def _changes(trial: TunedTrial) -> str:
    text = ", ".join(f"{name}={_short(value)}" for name, value in trial.settings.items())
    return to_plain(text) or "the default settings"


def _short(value: object) -> str:
    """Write a number with three digits, which tell trials apart."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _scores(trial: TunedTrial, tuning: Tuning, accuracies: Mapping[int, float]) -> str:
    text = ", ".join(f"{name} {trial.scores[name]:.4g}" for name in tuning.validators)
    if trial.number not in accuracies:
        return text
    return f"{text}; target test accuracy {tuning.describe_accuracy(trial.number)}"


def _rules(tuning: Tuning, accuracies: Mapping[int, float]) -> Table:
    """Tabulate what each validator would choose."""
    names = dict.fromkeys(name for each in tuning.finished.values() for name in each.scores)
    rules: dict[str, tuple[str, ...]] = {name.replace("_", " "): (name,) for name in names}
    if len(tuning.validators) > 1:
        rules[f"vote of {', '.join(tuning.validators)}"] = tuning.validators
    chosen = {title: tuning.chosen_by(*own) for title, own in rules.items()}
    rows = [_rule(title, number, accuracies) for title, number in chosen.items()]
    rows += [_rule("default settings", 0, accuracies)]
    if accuracies:
        best = max(accuracies, key=accuracies.__getitem__)
        rows.append(_rule("best (not available)", best, accuracies))
    caption = (
        "The trial that each validator would choose alone, with its accuracy on the target's test "
        f"split in % and its regret in points, {OUT_OF_REACH}.{tuning.about_images()}"
    )
    return Table("By each validator", caption, ["rule", "trial", "accuracy", "regret"], rows)


def _rule(title: str, number: int | None, accuracies: Mapping[int, float]) -> list[str]:
    if number is None or number not in accuracies:
        return [title, NOTHING if number is None else str(number), NOTHING, NOTHING]
    found = accuracies[number]
    regret = max(accuracies.values()) - found
    return [title, str(number), f"{100 * found:.1f}", f"{100 * regret:.1f}"]


def _trials(tuning: Tuning, accuracies: Mapping[int, float]) -> Table:
    rows = []
    for each in tuning.trials:
        scores = [
            f"{each.scores[name]:.4g}" if name in each.scores else NOTHING
            for name in tuning.validators
        ]
        found = accuracies.get(each.number)
        accuracy = NOTHING if found is None or each.state != FINISHED else f"{100 * found:.1f}"
        rows.append([str(each.number), each.state, _changes(each), *scores, accuracy])
    headings = ["trial", "state", "settings", *tuning.validators, "accuracy"]
    caption = (
        f"Validators at the last evaluation, and the accuracy on the target's test split in %, "
        f"{OUT_OF_REACH}.{tuning.about_images()}"
    )
    return Table(DETAILS.removeprefix("## "), caption, headings, rows)
