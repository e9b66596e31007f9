"""Batches in several processes, some of which are interrupted or killed."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.batch.decode import decode_batch
from codec.batch.encode import encode_batch
from codec.batch.jobs import BatchOptions
from codec.coding.options import DecodingOptions
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.registry import ModelFinder
from codec.runtime.atomic_files import temporary_path, writer_name
from tests.helpers.coding import read_files, write_noise
from tests.helpers.kills import begun


def test_several_processes_give_the_same_files_and_report_as_one(tmp_path, codec, model):
    for number, rate in enumerate((16000, 8000, 44100)):
        write_noise(tmp_path / f"in/{number}/{'a' * number}b.wav", 1.0 + number, rate, channels=1 + number)
    encode_batch([tmp_path / "in"], tmp_path / "nac", LoadedModel(codec))
    (tmp_path / "nac/1/bad.nac").write_text("no codes")
    alone = decode_batch([tmp_path / "nac"], tmp_path / "1", LoadedModel(codec))
    spread = decode_batch(
        [tmp_path / "nac"], tmp_path / "2", ModelFinder([model]), DecodingOptions(), BatchOptions(workers=2)
    )
    assert read_files(tmp_path / "1") == read_files(tmp_path / "2") and len(alone.reports) == 3
    assert [one.source for one in spread.reports] == [one.source for one in alone.reports]
    assert spread.failures == alone.failures and len(alone.failures) == 1
    assert replace(spread.summary, times_real_time=0.0) == replace(alone.summary, times_real_time=0.0)
    again = decode_batch([tmp_path / "nac"], tmp_path / "2", ModelFinder([model]))
    assert (len(again.reports), len(again.skipped), len(again.failures)) == (0, 3, 1)


HANGS_S = 600
"""What takes longer than this never ends, on the slowest of machines."""


def children(process: int) -> list[int]:
    """Processes that it started and that have begun with the work they were started for."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            command = (place / "cmdline").read_text()
        except OSError:
            continue
        if parent == process and "spawn_main" in command:
            found.append(int(place.name))
    return found


def until(true: Callable[[], object]) -> None:
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < HANGS_S
        time.sleep(0.01)


def long_ones(out: Path) -> list[tuple[str, int]]:
    """The long files of ``busy`` that are being written, and the process of each; short ones are soon done."""
    return [(source, process) for source, process in begun(out) if Path(source).stem in ("a", "bb")]


@pytest.fixture(params=["-j 2"])
def busy(request, tmp_path, model, interruptible):
    """``codec encode`` of two long files and two short ones, when it writes one of the long ones."""
    for name in ("a", "bb"):
        (tmp_path / "in").mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"in/{name}.wav", np.zeros(600 * 16000, np.int16), 16000)
    write_noise(tmp_path / "in/ccc.wav")
    write_noise(tmp_path / "in/dddd.wav", 2.0, 44100, 2)
    words = ["encode", tmp_path / "in", "--out", tmp_path / "out", "--model", model, "--json", *request.param.split()]
    process = subprocess.Popen(
        [sys.executable, "-m", "codec", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or long_ones(tmp_path / "out"))
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("busy", "number", "kill"),
    [
        pytest.param("-j 1", signal.SIGTERM, os.kill, marks=pytest.mark.long),
        ("-j 2", signal.SIGTERM, os.kill),
        pytest.param("-j 2", signal.SIGINT, os.killpg, marks=pytest.mark.long),  # again and again: test_signals.py
        pytest.param("--batch 3", signal.SIGTERM, os.kill, marks=pytest.mark.long),
        ("--batch 2", signal.SIGINT, os.killpg),
    ],
    indirect=["busy"],
)
def test_interrupts_end_all_files_at_once_and_leave_nothing_half_written(busy, tmp_path, number, kill):
    workers = children(busy.pid)
    kill(busy.pid, number)
    out, complaints = busy.communicate(timeout=60)
    assert busy.returncode == 130 and out == "" and "Traceback" not in complaints
    assert re.findall("codec: error: (.*)", complaints) == ["interrupted; run the same command again to continue"]
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert not begun(tmp_path / "out") and not {"a.nac", "bb.nac"} & read_files(tmp_path / "out").keys()


def test_processes_leave_interrupts_to_their_parent(busy):
    """A terminal sends Ctrl-C to all of them."""
    workers = children(busy.pid)
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker, signal.SIGINT)
    out, complaints = busy.communicate(timeout=HANGS_S)
    assert busy.returncode == 0 and len(json.loads(out)["done"]) == 4 and "Traceback" not in complaints


def test_a_killed_process_costs_only_its_file(busy, tmp_path, codec):
    (source, process), *_ = long_ones(tmp_path / "out")
    assert process in children(busy.pid)
    os.kill(process, signal.SIGKILL)
    out, complaints = busy.communicate(timeout=HANGS_S)
    told = json.loads(out)
    source = Path(source).stem
    assert busy.returncode == 1 and [Path(one["source"]).stem for one in told["failed"]] == [source]
    assert told["failed"][0]["reason"] in complaints and "signal 9" in told["failed"][0]["reason"]
    (tmp_path / f"in/{source}.wav").unlink()
    assert not encode_batch([tmp_path / "in"], tmp_path / "alone", LoadedModel(codec)).failures
    assert read_files(tmp_path / "out") == read_files(tmp_path / "alone") and len(told["done"]) == 3


def test_processes_end_and_clean_up_when_their_parent_is_killed(busy, tmp_path):
    workers = children(busy.pid)
    os.kill(busy.pid, signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    assert not begun(tmp_path / "out")


def test_two_commands_on_one_folder_do_not_harm_each_other(tmp_path, model, codec):
    for number in range(6):
        write_noise(tmp_path / f"in/{'a' * number}b.wav", 2.0, channels=1 + number % 2)
    words = ["encode", tmp_path / "in", "--out", tmp_path / "out", "--model", model]
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "codec", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    complaints = [one.communicate()[1].decode() for one in both]
    assert [one.returncode for one in both] == [0, 0] and "error" not in "".join(complaints)
    assert len(encode_batch([tmp_path / "in"], tmp_path / "alone", LoadedModel(codec)).reports) == 6
    assert read_files(tmp_path / "out") == read_files(tmp_path / "alone")


def test_parts_of_killed_processes_are_removed(tmp_path, codec):
    write_noise(tmp_path / "in/a.wav")
    (out := tmp_path / "out").mkdir()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    a, b = out / "a.nac", out / "b.nac"
    dead, running, elsewhere = writer_name(gone.pid), writer_name(os.getppid()), f"00000000-{gone.pid}"
    here = temporary_path(a, dead)
    left = [temporary_path(a, running), temporary_path(a, elsewhere), temporary_path(b, dead), out / ".a.nac.x.part"]
    for path in (here, *left):
        path.touch()
    encode_batch([tmp_path / "in"], out, LoadedModel(codec))
    assert set(out.iterdir()) == {*left, a}
    for path in left:  # the one of a running process stays, however old it is
        os.utime(path, (1e9, 1e9))
    encode_batch([tmp_path / "in"], out, LoadedModel(codec))
    assert set(out.iterdir()) == {left[0], *left[2:], a}
