"""Files are written whole or not at all, and a full disk is said to be one."""

import errno
import os
import resource
from pathlib import Path

import pytest
from safetensors import SafetensorError

from dacbn.models import create_network
from dacbn.training import (
    StorageError,
    load_checkpoint,
    save_network,
    write_atomically,
    write_output,
)
from dacbn.training.checkpoint import save_checkpoint

FULL = OSError(errno.ENOSPC, "No space left on device")


def fail_after(text, error):
    def write(path):
        path.write_text(text)
        raise error

    return write


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (FULL, StorageError, "the disk is full"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), StorageError, "full"),
        (OSError(errno.EROFS, "Read-only file system"), StorageError, "Read-only file system"),
        (RuntimeError(), StorageError, "RuntimeError"),
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
    ],
)
def test_a_writer_that_fails_midway_leaves_the_old_file_and_no_draft(
    tmp_path, error, raised, message
):
    path = tmp_path / "file"
    write_atomically(path, lambda draft: draft.write_text("old"))
    with pytest.raises(raised, match=message):
        write_atomically(path, fail_after("half of the ne", error))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced_and_folders_are_made(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    for text in ("old", "new"):
        write_atomically(path, lambda draft, text=text: draft.write_text(text))
    assert path.read_text() == "new" and list(path.parent.iterdir()) == [path]


def test_a_reader_of_the_old_file_never_sees_half_of_the_new_one(tmp_path):
    path = tmp_path / "file"
    write_atomically(path, lambda draft: draft.write_text("old"))
    with path.open() as reader:
        write_atomically(path, lambda draft: draft.write_text("new"))
        assert reader.read() == "old"


@pytest.mark.parametrize("below", ["run", "run/deeper"])
def test_a_file_where_a_folder_should_be_is_named(tmp_path, tiny, source, target, below):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(StorageError, match=r"cannot write .*: .* is no folder.*choose another"):
        tiny().fit(source, target, run=tmp_path / below)


def fill_disk_at(monkeypatch, step):
    """Let the disk run full when the checkpoint of a step is being written."""
    write, written = Path.write_bytes, []

    def write_some(path, content):
        written.append(path.name.startswith(".checkpoint.pt."))
        if written[-1] and sum(written) == step // 2:
            write(path, b"the beginning")
            raise FULL
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_some)


def test_a_full_disk_says_so_and_the_old_checkpoint_resumes(
    tmp_path, tiny, source, target, weights, monkeypatch
):
    whole = tiny().fit(source, target)
    with monkeypatch.context() as patch:
        fill_disk_at(patch, 4)
        with pytest.raises(StorageError) as caught:
            tiny().fit(source, target, run=tmp_path)
    assert str(caught.value) == (
        f"cannot write {tmp_path / 'checkpoint.pt'}: the disk is full. What was saved before is "
        "untouched; make room or choose another folder, then run again"
    )
    assert load_checkpoint(tmp_path)["step"] == 2
    resumed = tiny().fit(source, target, run=tmp_path, resume=True)
    assert weights(resumed) == weights(whole)


def test_an_adapter_whose_disk_ran_full_keeps_what_it_has_learned(
    tmp_path, tiny, source, target, monkeypatch
):
    fill_disk_at(monkeypatch, 4)
    adapter = tiny()
    with pytest.raises(StorageError):
        adapter.fit(source, target, run=tmp_path)
    adapter.save_pretrained(tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere" / "model.safetensors").exists()


def test_records_on_a_full_disk_say_so(tmp_path, tiny, source, target, monkeypatch):
    open_file = Path.open

    def refuse(self, mode="r", *rest, **options):
        if self.name == "metrics.jsonl" and mode == "a":
            raise FULL
        return open_file(self, mode, *rest, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(StorageError, match=r"cannot write .*metrics\.jsonl: the disk is full"):
        tiny().fit(source, target, run=tmp_path)


@pytest.mark.parametrize("name", ["checkpoint.pt", "model.safetensors"])
def test_what_the_system_says_of_a_failed_write_is_passed_on(tmp_path, name):
    network = create_network("digits_cnn", None, 2)

    def save():
        save_checkpoint(tmp_path, {"step": 1, "weights": network.state_dict()})
        save_network(tmp_path, network)

    save()
    before = (tmp_path / name).read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limits[1]))
    try:
        with pytest.raises(StorageError, match="File too large"):
            save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (tmp_path / name).read_bytes() == before and len(list(tmp_path.iterdir())) == 2


def test_a_draft_is_new_and_a_link_in_its_place_is_not_followed(tmp_path, monkeypatch):
    """Two writers never share a draft, and one that somebody laid there stops the write."""
    drafts, victim = [], tmp_path / "victim"
    victim.write_text("precious")
    for _ in range(2):
        write_atomically(tmp_path / "file", lambda draft: drafts.append(draft.name))
    assert len(set(drafts)) == 2 and all(name.startswith(".file.") for name in drafts)
    monkeypatch.setattr("secrets.token_hex", lambda _: "guessed")
    (tmp_path / ".file.guessed.part").symlink_to(victim)
    with pytest.raises(StorageError, match="File exists"):
        write_atomically(tmp_path / "file", lambda draft: draft.write_text("new"))
    assert victim.read_text() == "precious"


def test_a_link_in_a_run_is_read_and_replaced_but_not_written_through(
    tmp_path, tiny, source, target
):
    run, outside = tmp_path / "run", tmp_path / "outside"
    tiny().fit(source, target, run=run)
    outside.mkdir()
    before = {}
    for name in ("config.json", "metrics.jsonl", "model.safetensors", "checkpoint.pt"):
        before[name] = (run / name).read_bytes()
        (run / name).rename(outside / name)
        (run / name).symlink_to(outside / name)
    tiny(steps=8).fit(source, target, run=run, resume=True)
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == before
    assert load_checkpoint(run)["step"] == 8


def test_snapshots_are_not_written_to_where_a_link_leads(tmp_path, tiny, source, target):
    (tmp_path / "run").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "run" / "snapshots").symlink_to(tmp_path / "outside")
    with pytest.raises(StorageError, match="snapshots is a link to outside the run"):
        tiny(snapshot_every=1).fit(source, target, run=tmp_path / "run")
    assert list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("kind", ["pipe", "device", "link", "link to nothing"])
def test_an_output_that_is_no_regular_file_is_written_to(tmp_path, kind):
    path, real = tmp_path / "output", tmp_path / "real"
    if kind == "pipe":
        os.mkfifo(path)
        reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    elif kind == "device":
        path.symlink_to("/dev/null")
    else:
        path.symlink_to(real)
        if kind == "link":
            real.write_text("the old table, which was longer")
    write_output(path, "table")
    if kind == "pipe":
        assert path.is_fifo() and os.read(reader, 100) == b"table"
        os.close(reader)
    else:
        assert path.is_symlink() and (kind == "device" or real.read_text() == "table")


def test_an_output_that_is_a_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"output needs a file to write, and .* is a folder"):
        write_output(tmp_path, "table")


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM])
def test_a_read_only_folder_is_called_that(tmp_path, number):
    error = OSError(number, os.strerror(number))
    with pytest.raises(StorageError, match=r"is read-only \(.*with run or output") as caught:
        write_atomically(tmp_path / "file", fail_after("half", error))
    assert caught.value.read_only and "make room" not in str(caught.value)
