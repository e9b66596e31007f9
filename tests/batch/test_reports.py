"""Notes, progress and summaries."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from codec.batch import progress
from codec.batch.encode import encode_batch
from codec.batch.jobs import BatchOptions, Job
from codec.batch.progress import BatchProgress
from codec.batch.report import Failure
from codec.batch.runner import attempt
from codec.cli import FAILED, main
from codec.coding.options import CodingOptions
from codec.pretrained.loaded_model import LoadedModel
from tests.helpers.coding import read_files, write_noise
from tests.helpers.command_line import LOG_LINE


def test_unreachable_bit_rates_are_noted_before_work_begins(tmp_path, codec):
    one, two, bad = write_noise(tmp_path / "a.wav"), write_noise(tmp_path / "b.wav", channels=2), tmp_path / "bad.wav"
    least, *_, most = LoadedModel(codec).expected_kbps(1)
    for sources, kbps, says in (
        ([one], 0.9 * least, f"--kbps {0.9 * least:g}"),
        ([one], 1.1 * least, ""),
        ([one, two], 0.9 * most, "below" if 0.9 * most < 2 * least else ""),
        ([two], 1.1 * most, ""),
        ([bad, two, one], 1.1 * most, f"{most:.2g} kbit/s for 1 channel; --kbps {1.1 * most:g}"),
        ([two], 2.2 * most, "kbit/s for 2 channels;"),
    ):
        said: list[str] = []
        encode_batch(
            sources,
            tmp_path / "out",
            LoadedModel(codec),
            CodingOptions(kbps=kbps),
            BatchOptions(force=True),
            note=said.append,
        )
        assert len(said) == bool(says) and says in "".join(said), (kbps, said)


def test_progress_with_unstated_and_wrong_lengths(capsys):
    short, long = Job(Path("short"), Path("a")), Job(Path("long"), Path("b"))
    with BatchProgress("encode", {short: 1.0, long: 7200.0}) as bar:
        for job in (short, long):
            for _ in range(2):
                bar.advance(job, 36.0)
            bar.end(job)
    lines = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if "2 files" in line]
    assert "2/2 files, 0.04/0.04 h 100%" in lines[-1]
    with BatchProgress("encode", {short: 0.0}) as bar:
        bar.end(short)
    assert "1/1 files, 0.00/0.00 h 100%" in capsys.readouterr().err


def test_progress_on_a_clock_that_has_not_advanced(monkeypatch):
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: 7.0))
    job = Job(Path("source"), Path("target"))
    with BatchProgress("encode", {job: 1.0}) as bar:
        bar.advance(job, 1.0)


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
def test_a_file_that_exceeds_memory_fails_alone(error):
    def work() -> None:
        raise error

    found = attempt(Path("x.wav"), work)
    assert isinstance(found, Failure) and found.reason.startswith("x.wav: ")


def test_summary_and_progress_bar_agree_with_the_files(tmp_path, model, monkeypatch, capsys):
    write_noise(tmp_path / "in/a.wav", 18.0)
    write_noise(tmp_path / "in/bb.wav", 18.0, 8000, 2)
    (tmp_path / "in/bad.wav").write_text("no sound")
    monkeypatch.chdir(tmp_path)

    def run(*more: str) -> tuple[str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["encode", "in", "--out", "out", "--model", str(model), *more])
        assert ended.value.code == FAILED
        return capsys.readouterr()

    shown, bars = run()
    files = read_files(tmp_path / "out")
    size = sum(map(len, files.values()))
    lines = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert lines["files"] == "2 done, 0 were up to date, 1 failed"
    assert lines["audio"] == "0.010 hours" and lines["size"] == f"{size:,} bytes"
    assert lines["rate"].startswith(f"{8 * size / 36 / 1000:.2f} kbit/s, ")
    (last,) = [line for line in bars.splitlines() if " encode " in line]
    assert re.match(
        LOG_LINE.pattern + r"encode 3/3 files, 0\.01/0\.01 h 100% \[\d\d:\d\d<\d\d:\d\d, \d+ x real time\]", last
    ), last

    told = json.loads(run("--force", "--json")[0])
    assert read_files(tmp_path / "out") == files
    summary = told["summary"]
    assert (summary["done"], summary["skipped"], summary["failed"], summary["clipped_samples"]) == (2, 0, 1, 0)
    assert summary["hours"] == pytest.approx(0.01) and summary["bytes"] == size
    assert summary["kbps"] == pytest.approx(8 * size / 36 / 1000)
    assert 0 < summary["payload_kbps"] < summary["kbps"] and summary["times_real_time"] > 0
    assert sum(one["bytes"] for one in told["done"]) == size
    assert json.loads(run("--json")[0])["summary"]["skipped"] == 2
