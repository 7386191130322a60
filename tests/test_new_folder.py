"""Folders for runs whose name is not given."""

import threading

from dacbn.commands.new_folder import new_folder


def test_every_process_gets_a_new_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names, ready = [], threading.Barrier(8)

    def make():
        ready.wait()
        with new_folder("name") as folder:
            (folder / "file").touch()
            names.append(folder.name)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names) == ["name", *(f"name-{number}" for number in range(2, 9))]


def test_a_long_name_of_a_new_folder_is_shortened(tmp_path, monkeypatch):
    """A folder is named after two others, each of which may have a name as long as is allowed."""
    monkeypatch.chdir(tmp_path)
    with new_folder("é" * 200) as first, new_folder("é" * 200) as second:
        assert first != second and first.is_dir() and second.is_dir()
