"""Time and memory of ``codec prepare`` for many files: ``python -m eval.benchmarks.prepare_scale [--files N ...]``.

The listing is made: empty files with a CSV list, and a journal of made measurements, so that nothing is decoded or
resampled; arrays are written as holes. What remains is all that grows with the number of files: listing, groups,
journal, splits, manifest, tables. Each number of files is prepared twice, in new processes: the second time all is
finished. Then the training split is opened, as a training does, and the files are listed from their folder instead of
the list. Seconds are those of the processor.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

from codec.audio.statistics import AudioStats
from codec.dataset.packed import open_split
from codec.runtime.peak_memory import peak_memory_bytes
from data_prep import pack
from data_prep.journal import SCAN_JOURNAL, ScanJournal, ScanRecord
from data_prep.options import PrepareOptions
from data_prep.prepare import prepare
from data_prep.sources import find_audio
from data_prep.store import Store

_GROUP_FILES = 50
_RATE_HZ = 8000
_SECONDS = 0.6
_FOLDER_FILES = 1000


def make_listing(folder: Path, files: int) -> Path:
    """Make empty files, a list that names them, and a journal with a measurement of each.

    Args:
        folder: the list and the files are written here, and the journal into its folder ``data``.
        files: number of files.

    Returns:
        The list.
    """
    (folder / "data").mkdir()
    listing = folder / "list.csv"
    ScanJournal(folder / "data" / SCAN_JOURNAL, Store()).append(_make_files(folder, listing, files))
    return listing


def _make_files(folder: Path, listing: Path, files: int) -> Iterator[ScanRecord]:
    """Write the files and the list, and yield the measurements."""
    with listing.open("w") as table:
        table.write("path,speaker,domain,language\n")
        for number in range(files):
            path = folder / f"audio/{number // _FOLDER_FILES:05d}/{number:08d}.wav"
            if number % _FOLDER_FILES == 0:
                path.parent.mkdir(parents=True)
            path.touch()
            table.write(f"{path},speaker {number // _GROUP_FILES:06d},speech,en\n")
            frames = round(_RATE_HZ * _SECONDS)
            stats = AudioStats(_RATE_HZ, 1, frames, -3.0, -20.0, -20.0, -70.0, 3900.0, 0.0, f"{number:064x}")
            yield ScanRecord(str(path), 0, path.stat().st_mtime_ns, format="WAV/PCM_16", stats=stats)


def _prepare(folder: Path) -> None:
    """Prepare the listing."""
    options = PrepareOptions(sample_rate=_RATE_HZ, channels=1, workers=1)
    with mock.patch.object(pack, "write_clip", lambda task: None):
        prepare([folder / "list.csv"], folder / "data", options)


def _open(folder: Path) -> None:
    """Open the training split, as a training does."""
    split = open_split(folder / "data", "train", _RATE_HZ, 1)
    assert split.shards and split.summary.clips == len(split)


def _list(folder: Path) -> None:
    """Find the files in their folder instead of in the list."""
    assert len(find_audio([folder / "audio"]).entries)


_STEPS = {"prepare": _prepare, "open": _open, "list": _list}


def measure(step: str, folder: Path) -> tuple[float, int]:
    """Run a step on a listing in a new process.

    Args:
        step: ``prepare``, ``open`` or ``list``.
        folder: the folder of :func:`make_listing`.

    Returns:
        Seconds of the processor, and the peak of the memory in bytes, of which the imports alone are left out.
    """
    command = [sys.executable, "-m", "eval.benchmarks.prepare_scale", "--step", step, os.fspath(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, before, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak - before


def _main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m eval.benchmarks.prepare_scale",
        description="Print time and memory of preparing many files, without decoding them.",
    )
    parser.add_argument(
        "--files", type=int, nargs="+", default=[20_000, 100_000], help="numbers of files (default: %(default)s)"
    )
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.step:
        before, start = peak_memory_bytes() or 0, time.process_time()
        _STEPS[options.step[0]](Path(options.step[1]))
        print(json.dumps([time.process_time() - start, before, peak_memory_bytes() or 0]))
        return
    columns = ["prepare, s", "MB", "again, s", "MB", "open, s", "MB", "list, s", "MB", "prepare, s per 100,000"]
    print(f"| files | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for files in options.files:
        with tempfile.TemporaryDirectory() as name:
            make_listing(Path(name), files)
            steps = [measure(step, Path(name)) for step in ("prepare", "prepare", "open", "list")]
        cells = [f"{files:,}", *(cell for seconds, peak in steps for cell in (f"{seconds:.1f}", f"{peak / 1e6:.0f}"))]
        print(f"| {' | '.join(cells)} | {1e5 / files * steps[0][0]:.1f} |", flush=True)


if __name__ == "__main__":
    _main()
