"""Where each clip is packed: which arrays a split has, which clips they hold, and the table that says so.

Clips are read from the table of rows whenever they are needed; of each array, only its ends are held.
"""

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_prep.rows import ORDER, USED, RowTable
from data_prep.segments import AudioSegment
from data_prep.split_ratios import SPLITS
from data_prep.store import Cell

SHARD_BYTES = 256 * 2**20
"""Largest size of an array in bytes; a single clip may be larger."""
TABLE_COLUMNS = (
    "clip_id shard start frames path domain group seconds rms_dbfs bandwidth_hz noise_dbfs sha256 source licence"
    " language text"
).split()
"""Columns of the table of a split."""
Rows = Iterator[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class ClipLevels:
    """What the summary tells of a clip."""

    domain: str
    source: str
    rms_dbfs: float
    bandwidth_hz: float
    noise_dbfs: float
    seconds: float


@dataclass(frozen=True)
class PlannedShard:
    """An array and the clips that it holds: a range of the used rows of a split."""

    name: str
    """File name."""
    split: str
    first: tuple[str, float]
    """Path and start of the first clip."""
    last: tuple[str, float]
    """Path and start of the last clip."""
    key: str
    """Digest of everything that determines the samples, except their rate and channels."""


class ClipPlacement:
    """Clips of every split, and where they are packed.

    Args:
        rows: rows of the manifest.
        sample_rate: sample rate of the arrays, in Hz.
        channels: channels of the arrays.
    """

    def __init__(self, rows: RowTable, sample_rate: int, channels: int) -> None:
        self._rows, self._sample_rate, self._channels = rows, sample_rate, channels
        self.counts = dict.fromkeys(SPLITS, 0)
        """Number of clips by split."""
        self.shards = {shard.name: shard for split in SPLITS for shard in self._plan_shards(split)}
        """The arrays by name."""

    def levels(self, split: str) -> Iterator[ClipLevels]:
        """Read what the summary tells of the clips of a split.

        Args:
            split: name of the split.

        Yields:
            Domain, source, duration and levels of each clip, in the order of their paths.
        """
        columns = "domain, source, rms_dbfs, min(bandwidth_hz, ?), noise_dbfs, seconds, sample_rate"
        for *cells, seconds, sample_rate in self._query(columns, split, self._sample_rate / 2):
            domain, source, rms_dbfs, bandwidth_hz, noise_dbfs = cells
            clip_s = self._frames(seconds, sample_rate) / self._sample_rate
            yield ClipLevels(domain, source, rms_dbfs, bandwidth_hz, noise_dbfs, clip_s)

    def _plan_shards(self, split: str) -> Iterator[PlannedShard]:
        """Place the clips in the order of their paths. An array ends before the clip that would make it too large."""
        limit = SHARD_BYTES // (2 * self._channels)
        number, start, first, last, digest = 0, 0, ("", 0.0), ("", 0.0), hashlib.sha256()

        def planned() -> PlannedShard:
            return PlannedShard(f"{split}-{number:05d}.npy", split, first, last, digest.hexdigest())

        columns = "path, start_s, sha256, seconds, sample_rate"
        for path, start_s, sha256, seconds, sample_rate in self._query(columns, split):
            frames = self._frames(seconds, sample_rate)
            if start and start + frames > limit:
                yield planned()
                number, start, digest = number + 1, 0, hashlib.sha256()
            first = first if start else (path, start_s)
            last = (path, start_s)
            digest.update(f"{sha256} {start} {frames}\n".encode())
            start += frames
            self.counts[split] += 1
        if start:
            yield planned()

    def _query(self, columns: str, split: str, *values: Cell, within: str = "true", ends: Sequence[Cell] = ()) -> Rows:
        """Read columns of the used rows of a split."""
        query = f"SELECT {columns} FROM {self._rows.name} WHERE {USED} AND split = ? AND {within} ORDER BY {ORDER}"
        return self._rows.store.query(query, *values, split, *ends)

    def _query_shard(self, columns: str, shard: PlannedShard) -> Rows:
        """Read columns of the rows of the clips in an array."""
        within = "(path, start_s) BETWEEN (CAST(? AS TEXT), ?) AND (CAST(? AS TEXT), ?)"
        return self._query(columns, shard.split, within=within, ends=(*shard.first, *shard.last))

    def _frames(self, seconds: float, sample_rate: int) -> int:
        return -(-round(seconds * sample_rate) * self._sample_rate // sample_rate)

    def sources(self, shard: PlannedShard) -> Iterator[tuple[AudioSegment, int]]:
        """Read the sources of the clips in an array.

        Args:
            shard: the array.

        Yields:
            The source of each clip, and its samples per channel in the array.
        """
        columns = "path, start_s, end_s, seconds, sample_rate"
        for path, start_s, end_s, seconds, sample_rate in self._query_shard(columns, shard):
            yield AudioSegment(Path(path), start_s, end_s), self._frames(seconds, sample_rate)

    def table(self, split: str) -> Iterator[str]:
        """Format the table of a split.

        Args:
            split: name of the split.

        Yields:
            Its lines.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(TABLE_COLUMNS)
        columns = """
            sha256, path, domain, "group", rms_dbfs, bandwidth_hz, noise_dbfs, source, licence, language, text,
            seconds, sample_rate
        """
        for shard in self.shards.values():
            start = 0
            for row in self._query_shard(columns, shard) if shard.split == split else ():
                sha256, path, domain, group, rms_dbfs, bandwidth_hz, noise_dbfs, *words, seconds, sample_rate = row
                frames = self._frames(seconds, sample_rate)
                band = min(bandwidth_hz, self._sample_rate / 2)
                place = (sha256[:16], shard.name, start, frames)
                levels = (frames / self._sample_rate, rms_dbfs, band, noise_dbfs)
                writer.writerow((*place, path, domain, group, *levels, sha256, *words))
                start += frames
                yield text.getvalue()
                text.seek(0)
                text.truncate()
        yield text.getvalue()
