"""Where each clip is packed: which arrays a split has, which clips they hold, and the table that says so.

Clips are read from the table of rows whenever they are needed; of each array, only its ends are held.
"""

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass

from codec.dataset.packed import Clip
from data_prep.rows import ORDER, USED, ManifestRow, RowTable
from data_prep.split_ratios import SPLITS

SHARD_BYTES = 256 * 2**20
"""Largest size of an array in bytes; a single clip may be larger."""
_COLUMNS = (
    "clip_id shard start frames path domain group seconds rms_dbfs bandwidth_hz noise_dbfs sha256 source licence"
    " language text"
).split()


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

    def clips(self, split: str) -> Iterator[Clip]:
        """Read the clips of a split.

        Args:
            split: name of the split.

        Yields:
            The clips in the order of their paths.
        """
        return map(self._clip, self._rows.where(f"{USED} AND split = ?", split))

    def seconds(self, split: str) -> Iterator[float]:
        """Read the durations of the clips of a split.

        Args:
            split: name of the split.

        Yields:
            Seconds of each clip, in the same order.
        """
        return (frames / self._sample_rate for *_, frames in self._lengths(split))

    def _plan_shards(self, split: str) -> Iterator[PlannedShard]:
        """Place the clips in the order of their paths. An array ends before the clip that would make it too large."""
        limit = SHARD_BYTES // (2 * self._channels)
        number, start, first, last, digest = 0, 0, ("", 0.0), ("", 0.0), hashlib.sha256()

        def planned() -> PlannedShard:
            return PlannedShard(f"{split}-{number:05d}.npy", split, first, last, digest.hexdigest())

        for path, start_s, sha256, frames in self._lengths(split):
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

    def _lengths(self, split: str) -> Iterator[tuple[str, float, str, int]]:
        query = f"""
            SELECT path, start_s, sha256, seconds, sample_rate FROM {self._rows.name}
            WHERE {USED} AND split = ? ORDER BY {ORDER}
        """
        for path, start_s, sha256, seconds, sample_rate in self._rows.store.query(query, split):
            yield path, start_s, sha256, self._frames(seconds, sample_rate)

    def _frames(self, seconds: float, sample_rate: int) -> int:
        return -(-round(seconds * sample_rate) * self._sample_rate // sample_rate)

    def frames(self, row: ManifestRow) -> int:
        """Return the length of a clip in an array.

        Args:
            row: its row.

        Returns:
            Samples per channel.
        """
        return self._frames(row.seconds, row.sample_rate)

    def _clip(self, row: ManifestRow) -> Clip:
        frames, rate = self.frames(row), self._sample_rate
        return Clip(
            clip_id=row.sha256[:16],
            path=row.segment.path,
            domain=row.domain,
            group=row.group,
            seconds=frames / rate,
            rms_dbfs=row.rms_dbfs,
            bandwidth_hz=min(row.bandwidth_hz, rate / 2),
            noise_dbfs=row.noise_dbfs,
            frames=frames,
            source=row.source,
            licence=row.licence,
            language=row.language,
            text=row.text,
        )

    def rows_of(self, shard: PlannedShard) -> Iterator[ManifestRow]:
        """Read the rows of the clips in an array.

        Args:
            shard: the array.

        Yields:
            The rows in their order.
        """
        within = "(path, start_s) BETWEEN (CAST(? AS TEXT), ?) AND (CAST(? AS TEXT), ?)"
        return self._rows.where(f"{USED} AND split = ? AND {within}", shard.split, *shard.first, *shard.last)

    def table(self, split: str) -> Iterator[str]:
        """Format the table of a split.

        Args:
            split: name of the split.

        Yields:
            Its lines.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for shard in self.shards.values():
            start = 0
            for row in self.rows_of(shard) if shard.split == split else ():
                clip = self._clip(row)
                own = {"shard": shard.name, "start": start, "sha256": row.sha256}
                writer.writerow([own[name] if name in own else getattr(clip, name) for name in _COLUMNS])
                start += clip.frames
                yield text.getvalue()
                text.seek(0)
                text.truncate()
        yield text.getvalue()
