"""Small preparations: folders of noise, ``codec prepare`` on them, and what it writes."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from codec.dataset import packed
from data_prep.manifest import read_rows
from data_prep.options import PrepareOptions
from data_prep.prepare import prepare
from data_prep.rows import ManifestRow
from data_prep.summary import PreparationSummary
from tests.helpers.audio import noise, write_audio

RATE = 16000


def seconds_of_noise(seconds: float, seed: int, level: float = 0.1, rate: int = RATE) -> np.ndarray:
    """Return white noise, float32 ``[samples]``."""
    return noise(int(seconds * rate), level=level, seed=seed)


def write_groups(folder: Path, groups: int = 12, clips: int = 2) -> Path:
    """Write clips of noise of 1 s, each group in a folder of its own."""
    for group in range(groups):
        for clip in range(clips):
            write_audio(folder / f"speaker{group:02d}/{clip}.flac", seconds_of_noise(1.0, 100 * group + clip), RATE)
    return folder


def run_prepare(
    source: Path, out: Path, note: Callable[[str], None] | None = None, **options: object
) -> PreparationSummary:
    """Prepare a source in this process, at 16 kHz unless ``options`` have another rate."""
    settings = {"sample_rate": RATE, "workers": 1, **options}
    return prepare([source], out, PrepareOptions(**settings), note)  # type: ignore[arg-type]


def read_manifest(out: Path) -> list[ManifestRow]:
    """Return the rows of the manifest in a data folder."""
    return list(read_rows(out / "manifest.csv"))


def rows_by_name(out: Path) -> dict[str, ManifestRow]:
    """Return the rows of the manifest by the names of the files."""
    return {Path(row.path).name: row for row in read_manifest(out)}


def splits_by_group(out: Path) -> dict[str, str]:
    """Return the split of each group in the manifest."""
    return {row.group: row.split for row in read_manifest(out)}


def write_table(path: Path, rows: list[list[object]]) -> Path:
    """Write a CSV table."""
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def assert_packed_equals_sources(out: Path, rate: int = RATE) -> None:
    """Compare every clip of the open splits with libsndfile's decode of its source."""
    for name in ("train", "val"):
        split = packed.open_split(out, name, rate, 1)  # type: ignore[arg-type]
        for i, clip in enumerate(split.clips):
            source = soundfile.read(clip.path, dtype="int16")[0]
            np.testing.assert_array_equal(32768 * split.waveform(i)[0], source, err_msg=str(clip.path))
