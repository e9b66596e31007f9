"""Commands on disks that are too small."""

import subprocess
import sys

import pytest

from codec.errors import UserError
from eval.benchmarks.full_disk import JOBS, in_namespace


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        in_namespace([])
    except UserError as error:
        pytest.skip(str(error))
    return subprocess.run(
        [sys.executable, "-m", "eval.benchmarks.full_disk", *arguments], capture_output=True, text=True
    )


def test_data_is_prepared_completely_or_not_at_all(tmp_path):
    done = run("--out", str(tmp_path / "out"), "--commands", "prepare", "--shares", "0.5")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-4:] == ["prepare", "1", "1", "0"]
    again = run("--out", str(tmp_path / "out"), "--commands", "prepare")
    assert again.returncode and len(again.stderr.splitlines()) == 1


@pytest.mark.long
def test_no_command_leaves_a_cut_file_on_a_full_disk(tmp_path):
    done = run("--out", str(tmp_path / "out"), "--shares", "0.3", "0.9")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[2:]] == [job.name for job in JOBS]
