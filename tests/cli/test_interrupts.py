"""Interrupts at any moment."""

import os
import threading

import pytest

from codec.cli import INTERRUPTED
from codec.dataset.packed import packed_folder
from codec.runtime import signals
from tests.helpers.command_line import Ran, python
from tests.helpers.disk import contents

INTERRUPTED_AFTER = """
import os, signal, sys, threading
from codec.cli import main
from codec.runtime import process_pool
process_pool.INLINE_S = 0.0
threading.Timer(float(sys.argv[1]), lambda: os.killpg(0, signal.SIGINT)).start()
main(sys.argv[2:])
"""


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("after_s", [0.05, 0.2, 0.4])
def test_ctrl_c_while_libraries_load_is_one_line(place, tmp_path, after_s):
    words = ["encode", place / "good.wav", "--out", tmp_path / "nac", "--model", place / "model"]
    done = python(INTERRUPTED_AFTER, after_s, *words, start_new_session=True)
    ran = Ran(done.returncode, done.stdout, done.stderr)
    assert ran.status == INTERRUPTED and ran.complaint.startswith("interrupted; run the same command again")
    assert set(contents(tmp_path).values()) <= {None}  # no file; on a fast machine, the folder is there by then


ANNOUNCED_END = """
import os, signal, sys
from codec.cli import main
class Signals:
    def find_spec(self, name, *_):
        if name == "codec.dataset.location":
            os.kill(os.getpid(), signal.SIGUSR1)
sys.meta_path.insert(0, Signals())
main(["train", "quickstart", "--data", "data", "--run", "run"])
"""


@pytest.mark.parametrize("rank", [0, 1])
def test_the_signal_of_a_scheduler_while_a_training_loads_is_one_line(monkeypatch, rank):
    for name, value in (("RANK", str(rank)), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    done = python(ANNOUNCED_END)
    assert done.returncode == INTERRUPTED
    assert done.stderr.splitlines() == [f"codec: error: {signals.MESSAGE}"] * (rank == 0)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("after_s", [0.6, 0.9])
def test_ctrl_c_while_processes_start_is_one_line_and_prepare_goes_on(codec, corpus, prepared, tmp_path, after_s):
    words = ["prepare", corpus, "--out", tmp_path, "-j", 2]
    done = python(INTERRUPTED_AFTER, after_s, *words, start_new_session=True)
    ran = Ran(done.returncode, done.stdout, done.stderr)
    assert ran.status == INTERRUPTED and "interrupted" in ran.complaint and not list(tmp_path.rglob("*.part"))
    assert codec(*words[:-1], 1).status == 0
    table = packed_folder(tmp_path, 16000, 1) / "train.csv"
    assert table.read_bytes() == (packed_folder(prepared, 16000, 1) / "train.csv").read_bytes()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", signals.SIGNALS)
def test_an_interrupt_in_training_writes_the_checkpoint_and_one_line(codec, place, prepared, tmp_path, number):
    def interrupt_when_it_trains() -> None:
        while not (tmp_path / "metrics.csv").exists():
            if ended.wait(0.01):
                return
        os.kill(os.getpid(), number)

    ended = threading.Event()
    other = threading.Thread(target=interrupt_when_it_trains, daemon=True)
    other.start()
    ran = codec("train", place / "tiny.yaml", "--data", prepared, "--run", tmp_path, "--train.steps=300")
    ended.set()
    other.join()
    assert ran.status == INTERRUPTED and ran.complaint == "interrupted; run the same command again to continue"
    assert (tmp_path / "checkpoints/last.ckpt").is_file() and not list(tmp_path.rglob("*.part"))
