"""Folders as people have them: links, loops of links, hidden files, depths that the system does not list."""

import errno
import os
from pathlib import Path

import pytest

from codec.runtime.file_walk import find_files


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def below(folder: Path) -> tuple[list[str], list[str]]:
    found = find_files(folder, {".wav"})
    assert not found.unlisted
    return tuple([path.relative_to(folder).as_posix() for path in paths] for paths in (found.files, found.others))


def test_files_are_found_by_suffix_and_hidden_ones_are_passed_over(tmp_path):
    names = "a.wav B.WAV c.txt none x/d.wav x/._d.wav .h.wav .hid/e.wav __MACOSX/f.wav x.wav/g.wav".split()
    touch(*(tmp_path / name for name in names))
    assert below(tmp_path) == (["B.WAV", "a.wav", "x/d.wav", "x.wav/g.wav"], ["c.txt", "none"])
    assert below(tmp_path / ".hid") == (["e.wav"], [])


def test_linked_folders_are_entered_and_each_real_folder_once(tmp_path):
    touch(tmp_path / "in/z/a.wav", tmp_path / "in/z/y/b.wav", tmp_path / "far/c.wav", tmp_path / "far/d/e.wav")
    for link, to in (("in/a", "in/z"), ("in/m", "far"), ("in/n", "far"), ("in/z/up", "in"), ("far/up", "far")):
        (tmp_path / link).symlink_to(tmp_path / to)
    (tmp_path / "in/f.wav").symlink_to(tmp_path / "in/z/a.wav")
    (tmp_path / "in/g.wav").symlink_to(tmp_path / "gone")
    (tmp_path / "in/self").symlink_to("self")  # neither file nor folder
    assert below(tmp_path / "in") == (
        ["f.wav", "g.wav", "m/c.wav", "m/d/e.wav", "z/a.wav", "z/y/b.wav"], ["self"]
    )  # fmt: skip
    (tmp_path / "start").symlink_to(tmp_path / "in")
    assert below(tmp_path / "start")[0] == below(tmp_path / "in")[0]
    both = find_files([tmp_path / "in/a", tmp_path / "in/z"], {".wav"}).files
    assert both[:2] == [tmp_path / "in/z/a.wav", tmp_path / "in/z/up/f.wav"] and len(both) == 6


def test_folders_that_cannot_be_listed_are_named(tmp_path, monkeypatch):
    """One whose path is longer than the system takes."""
    touch(tmp_path / "in/a.wav")
    monkeypatch.chdir(tmp_path / "in")
    for _ in range(25):
        os.mkdir("d" * 200)
        os.chdir("d" * 200)
    found = find_files(tmp_path / "in", {".wav"})
    assert [path.name for path in found.files] == ["a.wav"]
    ((path, reason),) = found.unlisted.items()
    assert path.is_relative_to(tmp_path / "in") and len(str(path)) > 4000 and reason == os.strerror(errno.ENAMETOOLONG)
    with pytest.raises(OSError, match="too long"):
        os.listdir(path)
