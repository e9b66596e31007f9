"""Pack the clips of every split into 16-bit arrays that can be memory-mapped.

The arrays of a split are its shards; ``shards.json`` has their checksums. For the conversion of the samples see
:mod:`data_prep.clip_writer`.
"""

import json
import shutil
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from codec.dataset.array_checksums import SHARDS_FILE, Shard, file_sha256, read_shards
from codec.dataset.packed import PACKED_VERSION, packed_folder
from codec.errors import UserError
from codec.runtime.atomic_files import make_folder, temporary_path, write_text
from codec.runtime.process_pool import PoolOptions, Workers, map_in_processes
from data_prep.clip_writer import ClipTask, write_clip
from data_prep.placement import ClipPlacement, PlannedShard
from data_prep.rows import RowTable
from data_prep.segments import AudioSegment
from data_prep.split_ratios import SPLITS

_PAUSE = 10.0
"""Shortest time between two writings of ``shards.json``, as a multiple of what the first took. The file has a row for
each array, so to write it after each array would take most of the time when there are many."""


@dataclass(frozen=True)
class PackedSplits:
    """Result of :func:`pack_splits`."""

    placement: ClipPlacement
    """Clips of every split, and where they are."""
    repaired: tuple[str, ...]
    """Names of damaged arrays that were written again."""


@dataclass(frozen=True)
class _Format:
    """Sample rate and channels of the arrays, and the processes that write them."""

    sample_rate: int
    channels: int
    workers: Workers

    def pool(self, description: str) -> PoolOptions:
        return PoolOptions(self.workers, description, inline_first=True, max_chunk=8)


def pack_splits(rows: RowTable, data: Path, sample_rate: int, channels: int, workers: Workers) -> PackedSplits:
    """Pack the used rows of every split. Existing intact arrays are not written again.

    The caller holds the lock of ``data``.

    Args:
        rows: rows of the manifest.
        data: the data folder.
        sample_rate: sample rate of the arrays, in Hz.
        channels: channels of the arrays.
        workers: number of processes that write the clips of an array, or processes elsewhere, each of which writes
            whole arrays.

    Returns:
        The packed clips, and which arrays were damaged.

    Raises:
        UserError: the disk is full, a file has changed since it was scanned, or a process died.
    """
    form, placement = _Format(sample_rate, channels, workers), ClipPlacement(rows, sample_rate, channels)
    shards = placement.shards
    folder = packed_folder(data, sample_rate, channels)
    make_folder(folder)
    for part in folder.glob(".*.part"):  # of a process that was killed
        part.unlink(missing_ok=True)
    finished = read_shards(folder)
    current = [name for name, shard in shards.items() if name in finished and finished[name].key == shard.key]
    intact = _find_intact(folder, current, finished, form)
    todo = [shard for name, shard in shards.items() if name not in intact]
    outdated = [split for split in SPLITS if not _holds(folder / f"{split}.csv", placement.table(split))]
    stale = {file.name for file in folder.glob("*.npy")} - shards.keys()
    if todo or stale or outdated:
        # Until the end, readers must not use the old tables with the new arrays.
        (folder / "packed.json").unlink(missing_ok=True)
    if any([finished.pop(shard.name, None) for shard in todo]):
        _write_checksums(folder, finished)
    due = time.monotonic()
    with closing(_write_shards(_ShardTasks(placement, folder, todo, form))) as digests:
        for shard, digest in zip(todo, digests, strict=True):
            finished[shard.name] = Shard(shard.key, digest)
            if (began := time.monotonic()) >= due:
                _write_checksums(folder, finished)
                due = time.monotonic() + _PAUSE * (time.monotonic() - began)
    for name in stale:
        (folder / name).unlink()
    for split in outdated:
        write_text(folder / f"{split}.csv", placement.table(split))
    _write_checksums(folder, {name: finished[name] for name in shards})
    _write_packed_json(folder, form, placement.counts)
    return PackedSplits(placement, tuple(sorted(set(current) - intact)))


def _find_intact(folder: Path, shards: Sequence[str], finished: Mapping[str, Shard], form: _Format) -> set[str]:
    """Return the arrays whose content has the checksum that was stored."""
    digests = map_in_processes(file_sha256, [folder / shard for shard in shards], form.pool("checking"))
    return {shard for shard, digest in zip(shards, digests, strict=True) if digest == finished[shard].sha256}


def _write_checksums(folder: Path, shards: Mapping[str, Shard]) -> None:
    write_text(folder / SHARDS_FILE, json.dumps({name: asdict(shard) for name, shard in shards.items()}, indent=1))


def _write_packed_json(folder: Path, form: _Format, counts: Mapping[str, int]) -> None:
    content = {
        "sample_rate": form.sample_rate,
        "channels": form.channels,
        "version": PACKED_VERSION,
        "clips": counts,
    }
    write_text(folder / "packed.json", json.dumps(content) + "\n")


def _holds(path: Path, parts: Iterable[str]) -> bool:
    """Return whether a file consists of these parts."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return all(file.read(len(part)) == part for part in parts) and not file.read(1)


@dataclass(frozen=True)
class _ShardTask:
    """An array to be written."""

    shard: Path
    clips: list[tuple[AudioSegment, int]]
    """Sources of the clips, with their frames."""
    form: _Format


@dataclass(frozen=True)
class _ShardTasks:
    """Arrays to be written, whose clips are read when the turn of each comes."""

    placement: ClipPlacement
    folder: Path
    shards: Sequence[PlannedShard]
    form: _Format

    def __len__(self) -> int:
        return len(self.shards)

    def __iter__(self) -> Iterator[_ShardTask]:
        for shard in self.shards:
            yield _ShardTask(self.folder / shard.name, list(self.placement.sources(shard)), self.form)


def _write_shards(tasks: _ShardTasks) -> Generator[str, None, None]:
    """Write arrays and yield the SHA-256 of each: here, one after the other, or elsewhere, each by one process."""
    workers = tasks.form.workers
    if not isinstance(workers, int):
        alone = replace(tasks, form=replace(tasks.form, workers=1))
        yield from map_in_processes(_write_alone, alone, PoolOptions(workers, "packing", "array"))
        return
    for number, task in enumerate(tasks, 1):
        _write_shard(task, f"packing {task.shard.name} ({number} of {len(tasks)})")
        yield file_sha256(task.shard)


def _write_alone(task: _ShardTask) -> str:
    _write_shard(task, "")
    return file_sha256(task.shard)


def _write_shard(task: _ShardTask, label: str) -> None:
    shard, form = task.shard, task.form
    part = temporary_path(shard)
    try:
        offset = _allocate(part, shard, sum(frames for _, frames in task.clips), form.channels)
        tasks = []
        for segment, frames in task.clips:
            tasks.append(ClipTask(segment, part, offset, frames, form.sample_rate, form.channels))
            offset += 2 * form.channels * frames
        for _ in map_in_processes(write_clip, tasks, form.pool(label)):
            pass
        part.replace(shard)
    except OSError as error:
        raise UserError(f"{shard}: cannot write ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)


def _allocate(part: Path, shard: Path, frames: int, channels: int) -> int:
    """Write an array of zeros and return the offset of its first sample in the file, in bytes."""
    with part.open("wb") as file:
        shape = {"descr": "<i2", "fortran_order": False, "shape": (frames, channels)}
        np.lib.format.write_array_header_1_0(file, shape)
        head = file.tell()
        # Fails now if the disk is too small, not after an hour of resampling.
        free = shutil.disk_usage(shard.parent).free
        if free < 2 * frames * channels:
            raise UserError(f"{shard.parent}: only {free / 1e9:.2f} GB are free, too little for {shard.name}")
        file.truncate(head + 2 * frames * channels)
    return head
