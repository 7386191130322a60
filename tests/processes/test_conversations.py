"""What processes say to each other: who leads, when to stop, unequal settings, and one folder."""

import pytest
from conversations import converse
from launching import launch


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    return launch(converse, 2, folder, str(folder / "run"))


def test_random_numbers_differ_inside_of_the_rows_and_agree_after_them(said):
    (inside, after), (inside_1, after_1) = (each["same draws"] for each in said)
    assert inside == inside_1, "what is gathered is the same on both"
    assert inside[:2] != inside[2:], "each has drawn its own"
    assert after == after_1


def test_the_first_leads(said):
    assert [each["lead"] for each in said] == ["process 0", "process 0"]


def test_an_error_of_the_first_ends_both_and_is_its_own(said):
    assert said[0]["an error of the first"] == ("ValueError", "no such folder")
    assert said[1]["an error of the first"] == ("Elsewhere", "no such folder")


def test_all_agree_on_a_stop_one_step_later(said):
    assert [each["agreement"] for each in said] == [[0, 15, 0], [0, 15, 0]]


def test_unequal_settings_are_named(said):
    for each in said:
        kind, text = each["settings"]
        assert kind == "ValueError"
        assert text == "the processes differ in lr: start all with the same settings"


def test_domains_that_differ_between_machines_are_refused(said):
    for each in said:
        kind, text = each["other data"]
        assert kind == "ValueError"
        assert "not the same on all processes: 19 images on process 0 and 20 on process 1" in text


def test_more_processes_than_images_are_refused(said):
    assert "2 processes are more than the 1 images of a step" in said[0]["too many"][1]


def test_one_folder_is_written_and_resumed_and_the_scores_are_those_of_one_process(said):
    for each in said:
        far, (shared, alone) = each["files"]
        assert far < 1e-5
        assert shared == alone


def test_evaluation_in_turns_equals_that_of_one_process(said):
    assert [each["outputs"] for each in said] == [0.0, 0.0]


def test_what_diverges_on_one_process_ends_all_and_the_last_good_step_is_saved(said):
    for each in said:
        (kind, text), step, finite = each["diverged"]
        assert kind == "DivergedError" and "loss became nan at step" in text
        assert 0 < step < 50 and finite
    assert "keeps its last good checkpoint" in said[0]["diverged"][0][1]  # the first has the folder
