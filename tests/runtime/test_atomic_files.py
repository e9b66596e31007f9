"""Names of temporary files: processes that share a folder must not write to the same one."""

import os
import subprocess
import sys

import pytest

from codec.runtime.atomic_files import writer_name

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
