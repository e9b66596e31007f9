"""Temporary files: processes that share a folder write to different ones; those of killed processes are removed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from codec.runtime.atomic_files import remove_abandoned_parts, replacing, temporary_path, writer_name

NEW_NUMBERS = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
"""Runs a command where the numbers of processes begin anew, as in a container."""


def test_processes_of_one_number_in_two_containers_write_to_different_files():
    print_names = "from codec.runtime.atomic_files import writer_name as name; print(name(7), name())"
    try:
        done = subprocess.run(
            [*NEW_NUMBERS, sys.executable, "-c", print_names], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no namespaces here ({error})")
    theirs, other = done.stdout.split()
    again = subprocess.run([sys.executable, "-c", print_names], capture_output=True, text=True, check=True)
    assert theirs.endswith("-7") and other != theirs
    assert writer_name(7) == again.stdout.split()[0] != theirs
    assert writer_name() == writer_name(os.getpid())


def test_names_of_any_length_can_be_written_and_their_parts_removed(tmp_path: Path) -> None:
    longest = tmp_path / ("é" * 125 + ".wave")  # 255 bytes
    with replacing(longest) as part:
        part.write_text("whole")
    assert longest.read_text() == "whole"
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    abandoned = temporary_path(longest, writer_name(gone.pid))
    abandoned.touch()
    remove_abandoned_parts(tmp_path, {"another"})
    assert abandoned.exists()
    remove_abandoned_parts(tmp_path, {longest.name})
    assert list(tmp_path.iterdir()) == [longest]


def test_folders_of_killed_processes_are_removed_too(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    abandoned, present = (temporary_path(tmp_path / "a", writer_name(process)) for process in (gone.pid, os.getppid()))
    for folder in (abandoned, present):
        (folder / "inside").mkdir(parents=True)
    remove_abandoned_parts(tmp_path)
    assert list(tmp_path.iterdir()) == [present]
