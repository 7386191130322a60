"""A folder that a process writes to is its own until it ends, however it ends."""

import errno
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress

import pytest
from filelock import FileLock, Timeout

from dacbn.training import FolderInUseError, StorageError, claim

HOLD = """
import fcntl, sys, time
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Hold the lock of tmp_path/run in another process, by the system's own call."""
    (tmp_path / "run").mkdir()
    command = [sys.executable, "-c", HOLD, tmp_path / "run" / ".lock"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_folder_at_work_is_refused_and_one_of_a_killed_process_is_not(tmp_path, holder):
    run = tmp_path / "run"
    with (
        pytest.raises(FolderInUseError, match=r"run is in use by another process: wait"),
        claim(run),
    ):
        pass
    holder.kill()
    holder.wait()
    with claim(run):
        pass


@pytest.mark.parametrize("resume", [False, True])
def test_a_training_does_not_enter_a_folder_at_work(tiny, source, target, tmp_path, holder, resume):
    (tmp_path / "run" / "metrics.jsonl").write_text("of the other process")
    with pytest.raises(FolderInUseError):
        tiny().fit(source, target, run=tmp_path / "run", resume=resume)
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {".lock", "metrics.jsonl"}
    assert (tmp_path / "run" / "metrics.jsonl").read_text() == "of the other process"


def test_an_adaptation_does_not_enter_a_folder_at_work(tiny, source, target, tmp_path, holder):
    adapter = tiny(steps=1).fit(source, target)
    with pytest.raises(FolderInUseError):
        adapter.adapt(target[0], run=tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_a_folder_is_held_against_another_training_of_the_same_process(tmp_path):
    with claim(tmp_path), pytest.raises(FolderInUseError), claim(tmp_path):
        pass


def test_a_claim_ends_with_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), claim(tmp_path / "run"):
            (tmp_path / "run" / "file").touch()
            raise ZeroDivisionError


def test_a_folder_in_which_nothing_was_written_is_removed_if_it_was_made(tmp_path):
    (tmp_path / "mine").mkdir()
    for folder in (tmp_path / "new" / "run", tmp_path / "mine"):
        with pytest.raises(ZeroDivisionError), claim(folder):
            assert folder.is_dir()
            raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert list((tmp_path / "mine").iterdir()) == []


def test_drafts_of_a_killed_process_are_removed_and_those_of_others_stay(tmp_path):
    for name in (".checkpoint.pt.12ab.part", ".evaluation.json.12ab.part", "a.part"):
        (tmp_path / name).touch()
    with claim(tmp_path):
        pass
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".evaluation.json.12ab.part", "a.part"}


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(StorageError), claim(tmp_path / "run"):
        pass
    assert not (tmp_path / "victim").exists()


def test_a_read_only_folder_is_called_that(tiny, source, target, tmp_path, monkeypatch):
    def refuse(lock):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.raises(StorageError, match=r"run is read-only .*denied.*with run or output"):
        tiny().fit(source, target, run=tmp_path / "run")


@pytest.mark.parametrize("run", ["", "."])
def test_the_current_folder_is_no_run_folder(tiny, source, target, tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="needs a folder of its own, not the current one"):
        tiny().fit(source, target, run=run)
    assert os.listdir(tmp_path) == []


def test_a_lock_file_that_was_removed_while_it_was_opened_holds_nothing(tmp_path):
    """The library filelock 4.3 looks at the file again after locking: two could hold it else."""
    with claim(tmp_path):
        late = FileLock(tmp_path / ".lock", timeout=0)
        with pytest.raises(Timeout):
            late.acquire()
    assert not (tmp_path / ".lock").exists()
    late.acquire()
    with pytest.raises(FolderInUseError), claim(tmp_path):
        pass
    late.release()


def test_one_of_many_gets_the_folder(tmp_path):
    """Claims that come and go at the same time never overlap."""
    inside, most, ends = [], [], time.monotonic() + 1

    def work():
        while time.monotonic() < ends:
            with suppress(FolderInUseError), claim(tmp_path / "run"):
                inside.append(None)
                most.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
