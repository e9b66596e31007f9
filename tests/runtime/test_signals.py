"""Ctrl-C that comes twice, that the shell has ignored, and processes whose parent was killed."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.cli.common import INTERRUPTED
from tests.helpers.children import wait_until

MAPPING = """
import os, sys, time
from codec.runtime.process_pool import PoolOptions, map_in_processes
if __name__ == "__main__":
    for _ in map_in_processes(time.sleep, [0.01] * 2 + [3600.0] * 2, PoolOptions(workers=2)):
        print(os.getpid(), flush=True)
"""


@contextmanager
def command(*words: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def long_files(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        soundfile.write(tmp_path / f"in/{name}.wav", np.zeros(600 * 16000, np.int16), 16000)
    return tmp_path


def is_encoding(folder: Path, process: subprocess.Popen[str]) -> bool:
    assert process.poll() is None, process.communicate()
    return any(folder.glob("out/.*.part"))


def send_until_it_ends(process: subprocess.Popen[str], number: int) -> int:
    """Every 10 ms, to the whole group, as a terminal does. How often."""
    sent = 0
    while process.poll() is None:
        os.killpg(process.pid, number)
        sent += 1
        assert sent < 12_000, "it does not end"
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.01)
    return sent


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    "workers", ["-j2", pytest.param("-j1", marks=pytest.mark.long), pytest.param("--batch=2", marks=pytest.mark.long)]
)
def test_ctrl_c_again_and_again_is_one_line_and_leaves_nothing(long_files, model, workers):
    words = ["-m", "codec", "encode", long_files / "in", "--out", long_files / "out", "--model", model, workers]
    with command(*words) as process:
        wait_until(lambda: is_encoding(long_files, process))
        workers = children_of(process)
        send_until_it_ends(process, signal.SIGINT)
        _, complaints = process.communicate(timeout=60)
    wait_until(lambda: not any(running(worker) for worker in workers))
    assert process.returncode == INTERRUPTED and "Traceback" not in complaints and "Exception" not in complaints
    assert complaints.count("codec: error: ") == 1
    assert not list(long_files.glob("out/.*.part")) and not list(long_files.glob("out/*.nac"))


def test_an_ignored_ctrl_c_stays_ignored(long_files, model):
    """As in a job that a shell started in the background; while libraries load, too."""
    (long_files / "in/b.wav").unlink()
    soundfile.write(long_files / "in/a.wav", np.zeros(60 * 16000, np.int16), 16000)
    words = ["-m", "codec", "encode", long_files / "in", "--out", long_files / "out", "--model", model]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with command(*words) as process:
            assert send_until_it_ends(process, signal.SIGINT) > 10
            assert process.wait() == 0
    finally:
        signal.signal(signal.SIGINT, before)
    assert (long_files / "out/a.nac").is_file()


def test_processes_end_with_the_one_that_started_them(tmp_path):
    (tmp_path / "work.py").write_text(MAPPING)
    with command(tmp_path / "work.py") as process:
        assert process.stdout is not None and int(process.stdout.readline()) == process.pid
        children = children_of(process)
        assert len(children) >= 3  # two workers, and what tracks their resources
        process.kill()
        process.wait()
        wait_until(lambda: not any(running(child) for child in children))


def children_of(process: subprocess.Popen[str]) -> list[str]:
    return Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()


def running(process: str) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
