"""Time and memory of ``codec prepare`` for many files: ``python -m eval.benchmarks.prepare_scale [--files N ...]``.

The listing is made: empty files with a CSV list, and a journal of made measurements, so that nothing is decoded or
resampled; arrays are written as holes. What remains is all that grows with the number of files: listing, groups,
journal, splits, manifest, tables. Each number of files is prepared twice, in new processes: the second time all is
finished. Seconds are those of the processor.
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
from codec.runtime.peak_memory import peak_memory_bytes
from data_prep import pack
from data_prep.journal import SCAN_JOURNAL, ScanJournal, ScanRecord
from data_prep.options import PrepareOptions
from data_prep.prepare import prepare
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
    """Prepare the listing in this process, and print seconds and peak memory."""
    options = PrepareOptions(sample_rate=_RATE_HZ, channels=1, workers=1)
    before, start = peak_memory_bytes() or 0, time.process_time()
    with mock.patch.object(pack, "write_clip", lambda task: None):
        summary = prepare([folder / "list.csv"], folder / "data", options)
    print(json.dumps([time.process_time() - start, before, peak_memory_bytes() or 0, summary.rows]))


def measure(folder: Path) -> tuple[float, int]:
    """Prepare a listing in a new process.

    Args:
        folder: the folder of :func:`make_listing`.

    Returns:
        Seconds of the processor, and the peak of the memory in bytes, of which the imports alone are left out.
    """
    command = [sys.executable, "-m", "eval.benchmarks.prepare_scale", "--prepare", os.fspath(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, before, peak, _ = json.loads(done.stdout.splitlines()[-1])
    return seconds, peak - before


def _main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m eval.benchmarks.prepare_scale",
        description="Print time and memory of preparing many files, without decoding them.",
    )
    parser.add_argument(
        "--files", type=int, nargs="+", default=[20_000, 100_000], help="numbers of files (default: %(default)s)"
    )
    parser.add_argument("--prepare", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.prepare:
        _prepare(options.prepare)
        return
    print("| files | prepare, s | MB | again, s | MB | s per 100,000 | MB per 100,000 |\n|---|---|---|---|---|---|---|")
    for files in options.files:
        with tempfile.TemporaryDirectory() as name:
            make_listing(Path(name), files)
            (first_s, first), (again_s, again) = measure(Path(name)), measure(Path(name))
        share = 1e5 / files
        cells = [f"{files:,}", f"{first_s:.1f}", f"{first / 1e6:.0f}", f"{again_s:.1f}", f"{again / 1e6:.0f}"]
        print(f"| {' | '.join(cells)} | {share * first_s:.1f} | {share * first / 1e6:.0f} |", flush=True)


if __name__ == "__main__":
    _main()
