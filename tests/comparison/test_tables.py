"""The tables of a comparison, against numbers worked out by hand."""

import csv
import re

import pytest
import torch

from dacbn.comparison import Result, choose_variants, make_grid
from dacbn.comparison.estimate_table import estimate_table
from dacbn.comparison.files import write_files
from dacbn.comparison.render import escape, to_latex, to_markdown, to_plain
from dacbn.comparison.results import training_seconds
from dacbn.comparison.tables import Table, choice_table, correlation_table, headline_table
from dacbn.estimates import Estimate
from dacbn.intervals import paired
from dacbn.training import TrainConfig, train_command
from dacbn.training.right_answers import save_right

UCB = "ucb_norm(num_clusters=2)"
# by norm and method, for the two seeds
LAST = {
    ("batch_norm", "source_only"): (0.50, 0.60),
    (UCB, "source_only"): (0.52, 0.64),
    ("batch_norm", "dann"): (0.80, 0.70),
    (UCB, "dann"): (0.90, None),
}


def make_results(last=LAST, seeds=2, controls=False):
    norms = list(dict.fromkeys(norm for norm, _ in last))
    methods = list(dict.fromkeys(method for _, method in last))
    variants = choose_variants(norms, methods, controls)
    cells = make_grid(TrainConfig(steps=40), variants, seeds)

    def result(cell):
        accuracy = last.get(cell.variant[:2], (0.3,) * seeds)[cell.config.seed]
        if accuracy is None:
            return Result(cell, "failed", "the domain loss became nan at step 3")
        chosen = {"last": accuracy, "median": accuracy - 0.1, "bnm": 0.4, "oracle": 0.95}
        return Result(cell, "finished", "", chosen, 0.99, {"bnm": accuracy, "snd": 1.0}, 61.3)

    return [result(cell) for cell in cells], variants


def cells_of(table):
    return {(row[0], row[1]): dict(zip(table.headings, row, strict=True)) for row in table.rows}


def test_the_headline_is_mean_and_deviation_of_the_last_step():
    table = cells_of(headline_table(*make_results()))
    assert table["batch_norm", "source_only"]["target accuracy"] == "55.0 ± 7.1"
    assert table[UCB, "source_only"]["target accuracy"] == "58.0 ± 8.5"
    assert table["batch_norm", "dann"]["source accuracy"] == "99.0 ± 0.0"
    assert table["batch_norm", "dann"]["training time"] == "61 s"


def test_differences_are_paired_with_their_interval():
    table = cells_of(headline_table(*make_results()))
    ours = table[UCB, "source_only"]
    # 2 and 4 points: 3 -+ 12.706 * sqrt(2) / sqrt(2)
    assert ours["difference in norm"] == "+3.0 [−9.7, +15.7]"  # noqa: RUF001
    assert ours["difference in method"] == "–"  # noqa: RUF001
    assert table["batch_norm", "dann"]["difference in norm"] == "–"  # noqa: RUF001
    # 30 and 10 points
    assert table["batch_norm", "dann"]["difference in method"] == "+20.0 [−107.1, +147.1]"  # noqa: RUF001


def test_a_single_seed_has_no_deviation_and_says_so():
    row = cells_of(headline_table(*make_results()))[UCB, "dann"]
    assert row["target accuracy"] == "90.0" and row["seeds"] == "1 seed of 2"
    assert row["difference in norm"] == "+10.0 (1 seed)"
    assert row["difference in method"] == "+38.0 (1 seed)"


def test_a_single_seed_is_compared_image_by_image_where_runs_kept_their_answers(tmp_path):
    last = {("batch_norm", "source_only"): (0.5,), ("batch_norm", "dann"): (0.8,)}
    results, variants = make_results(last, seeds=1)
    for each in results:
        right = torch.arange(40) < 40 * each.accuracies["last"]
        save_right(tmp_path / each.cell.name, {"target_test t": right})
    results = [
        each._replace(images=40, classes=4, folder=tmp_path / each.cell.name) for each in results
    ]
    table = headline_table(results, variants)
    low, high = (f"{100 * end:+.1f}" for end in paired(20, 12, 0, 8))
    shown = cells_of(table)["batch_norm", "dann"]["difference in method"]
    assert shown == f"+30.0 [{low}, {high}] (1 seed)"
    assert "Test images of the target: 40. Chance: 25.0." in table.caption
    assert "Test images of the target: 40. Chance: 25.0." in choice_table(results, variants).caption


def test_what_nobody_finished_has_no_numbers():
    last = {("batch_norm", "dann"): (None, None)}
    row = headline_table(*make_results(last)).rows[0]
    assert row == ["batch_norm", "dann", "–", "0 seeds of 2", "–", "–", "–", "–"]  # noqa: RUF001


def test_controls_are_named_and_compared_with_what_they_control():
    table = cells_of(headline_table(*make_results(controls=True)))
    row = table["random_gate_norm(num_clusters=2) (control: random gates)", "source_only"]
    assert row["difference in norm"].startswith("−28.0 [")  # noqa: RUF001


def test_choices_show_every_rule_and_the_oracle_last():
    table = choice_table(*make_results())
    titles = ["last", "median of last ten", "bnm", "oracle (not available)"]
    assert table.headings[2:] == titles and "not available in practice" in table.caption
    assert table.rows[0][2:] == ["55.0", "45.0", "40.0", "95.0"]


def test_validators_are_ranked_over_all_networks():
    table = correlation_table(make_results()[0])
    assert table.rows == [
        ["bnm", "+1.00", "+1.00", "7"],
        ["snd", "–", "–", "7"],  # noqa: RUF001
    ]


def test_too_few_networks_are_not_ranked():
    results, _ = make_results()
    assert correlation_table(results[:4]).rows == []


def test_a_single_seed_has_the_interval_of_its_images():
    results, variants = make_results()
    counted = [result._replace(images=70, classes=6) for result in results]
    table = headline_table(counted, variants)
    assert "Test images of the target: 70." in table.caption and "Chance: 16.7." in table.caption
    row = cells_of(table)[UCB, "dann"]
    assert row["target accuracy"] == "90.0 [80.8, 95.1]"  # Wilson, of 63 of 70
    # Newcombe, of 63 and 56 of 70
    assert row["difference in norm"] == "+10.0 [−2.0, +21.9] (1 seed)"  # noqa: RUF001
    assert cells_of(table)["batch_norm", "dann"]["target accuracy"] == "75.0 ± 7.1"


def test_estimates_without_labels_have_a_table():
    results, variants = make_results()
    told = Estimate(0.7, 0.6, 0.8, 346, {"atc": 0.7})
    more = Estimate(0.8, 0.7, 0.85, 346, {"atc": 0.8})
    thin = told._replace(thin=("only 12 target images",))
    given = {variants[0]: [(told,), (more,)], variants[1]: [(thin,), (thin,)]}
    results = [
        each._replace(estimated=given[each.cell.variant][each.cell.config.seed])
        if each.cell.variant in given
        else each
        for each in results
    ]
    rows = [row[2:] for row in estimate_table(results, variants).rows]
    assert rows[0] == ["75.0 [60.0, 85.0]", "2 of 2", "346", "–"]  # noqa: RUF001
    assert rows[1] == ["cannot tell", "0 of 2", "346", "only 12 target images"]
    assert rows[2] == ["–", "0 of 0", "–", "–"]  # noqa: RUF001


def test_markdown_has_as_many_cells_in_every_line():
    table = Table("Title", "Caption.", ["a|b", "c"], [["1", "long cell"], ["x|y", "2"]])
    lines = to_markdown(table).splitlines()
    assert lines[:3] == ["## Title", "", "Caption."]
    assert lines[4:] == [
        "| a\\|b | c         |",
        "| ---- | --------- |",
        "| 1    | long cell |",
        "| x\\|y | 2         |",
    ]


def test_latex_prints_what_it_means_itself():
    assert escape("a_b & 50 % #1 {x} $5 ~^\\") == (
        r"a\_b \& 50 \% \#1 \{x\} \$5 \textasciitilde{}\textasciicircum{}\textbackslash{}"
    )
    assert escape("1 ± 2 −3 – a → b") == r"1 $\pm$ 2 $-$3 -- a $\to$ b"  # noqa: RUF001


def test_latex_is_a_whole_table():
    text = to_latex(headline_table(*make_results()))
    for name in ("table", "tabular"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") == 1
    rows = [line for line in text.splitlines() if line.endswith(r" \\")]
    assert len(rows) == 5 and all(row.count(" & ") == 7 for row in rows)
    assert r"{ucb\_norm(num\_clusters=2)} & {source\_only} & {58.0 $\pm$ 8.5}" in text
    assert text.isascii() and not re.search(r"(?<!\\)[_%#]", text)


@pytest.fixture
def report(tmp_path):
    results, _ = make_results()
    write_files(tmp_path, results, [{"device": "a CPU", "torch": "2.9"}])
    return tmp_path


def test_the_report_says_what_failed_on_what_it_ran_and_how_to_repeat_it(report):
    text = (report / "comparison.md").read_text()
    assert text.startswith("# digits → color_digits\n\n8 cells: 7 finished, 1 failed.\n")
    assert f"`{'dann-ucb_norm-num_clusters=2-seed1'}`: the domain loss became nan" in text
    assert "- device a CPU, torch 2.9" in text
    assert text.count("dacbn train --source digits --target color_digits") == 8
    assert all(train_command(result.cell.config) in text for result in make_results()[0])
    assert "--method dann --steps 40 --seed 1" in text
    assert (report / "comparison.tex").read_text().count(r"\begin{table}") == 3


def test_the_csv_has_a_line_for_every_variant_in_percent(report):
    with (report / "comparison.csv").open() as file:
        rows = {(row["norm"], row["method"]): row for row in csv.DictReader(file)}
    row = rows[UCB, "source_only"]
    assert len(rows) == 4 and row["seeds"] == "2"
    assert (row["target_mean"], row["source_mean"]) == ("58.0", "99.0")
    assert float(row["target_sd"]) == pytest.approx(8.485, abs=1e-3)
    assert row["norm_reference"] == "batch_norm" and row["norm_difference"] == "3.0"
    assert float(row["norm_high"]) == pytest.approx(15.706, abs=1e-3)
    assert row["method_reference"] == row["method_difference"] == ""
    assert (row["chosen_by_bnm_mean"], row["chosen_by_oracle_mean"]) == ("40.0", "95.0")
    assert row["training_seconds"] == "61.3"
    assert rows[UCB, "dann"]["target_sd"] == rows[UCB, "dann"]["norm_low"] == ""


def test_time_is_that_of_the_steps_between_logs():
    rows = [
        {"step": 10, "steps_per_second": 2.0},
        {"step": 10, "target_test_accuracy": 0.5},
        {"step": 14, "steps_per_second": 8.0},
    ]
    assert training_seconds(rows) == pytest.approx(5.5)


def test_names_of_folders_are_no_markup():
    assert to_plain("a_b/c-1 (2).png → é") == "a_b/c-1 (2).png → é"
    assert to_plain("<b>[x](y)`z`\x1b[2J\n# t") == "\\<b>\\[x](y)\\`z\\` \\[2J # t"
