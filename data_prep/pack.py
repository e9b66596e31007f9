"""Pack the clips of every split into 16-bit arrays that can be memory-mapped.

The arrays of a split are its shards; ``shards.json`` has their checksums. For the conversion of the samples see
:mod:`data_prep.clip_writer`.
"""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from codec.dataset.array_checksums import SHARDS_FILE, Shard, file_sha256, read_shards
from codec.dataset.packed import PACKED_VERSION, Clip, ClipLocation, packed_folder
from codec.errors import UserError
from codec.runtime.atomic_files import make_folder, temporary_path, write_text
from codec.runtime.process_pool import PoolOptions, Workers, map_in_processes
from data_prep.clip_writer import ClipTask, write_clip
from data_prep.manifest import ManifestRow
from data_prep.segments import AudioSegment
from data_prep.split_ratios import SPLITS

SHARD_BYTES = 256 * 2**20
"""Largest size of an array in bytes; a single clip may be larger."""
_COLUMNS = (
    "clip_id shard start frames path domain group seconds rms_dbfs bandwidth_hz noise_dbfs sha256 source licence"
    " language text"
).split()


@dataclass(frozen=True, slots=True)
class PlacedClip:
    """A clip and its location in the arrays."""

    clip: Clip
    segment: AudioSegment
    """Source of its samples."""
    sha256: str
    """SHA-256 of the source's samples."""
    place: ClipLocation


@dataclass(frozen=True)
class PackedSplits:
    """Result of :func:`pack_splits`."""

    clips: dict[str, list[Clip]]
    """Clips of every split."""
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


def pack_splits(
    rows: Sequence[ManifestRow], data: Path, sample_rate: int, channels: int, workers: Workers
) -> PackedSplits:
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
    form = _Format(sample_rate, channels, workers)
    folder = packed_folder(data, sample_rate, channels)
    make_folder(folder)
    for part in folder.glob(".*.part"):  # of a process that was killed
        part.unlink(missing_ok=True)
    plans = {split: _place_clips(rows, split, form) for split in SPLITS}
    shards = {shard: clips for plan in plans.values() for shard, clips in _by_shard(plan).items()}
    keys = {shard: _make_key(clips) for shard, clips in shards.items()}
    finished = read_shards(folder)
    current = [shard for shard, key in keys.items() if shard in finished and finished[shard].key == key]
    intact = _find_intact(folder, current, finished, form)
    todo = [shard for shard in keys if shard not in intact]
    tables = {f"{split}.csv": _format_table(plan) for split, plan in plans.items()}
    stale = {file.name for file in folder.glob("*.npy")} - keys.keys()
    if todo or stale or any(_read(folder / name) != table for name, table in tables.items()):
        # Until the end, readers must not use the old tables with the new arrays.
        (folder / "packed.json").unlink(missing_ok=True)
    if any([finished.pop(shard, None) for shard in todo]):
        _write_checksums(folder, finished)
    with closing(_write_shards([_ShardTask(folder / shard, shards[shard], form) for shard in todo])) as digests:
        for shard, digest in zip(todo, digests, strict=True):
            finished[shard] = Shard(keys[shard], digest)
            _write_checksums(folder, finished)
    for name in stale:
        (folder / name).unlink()
    _write_tables(folder, tables, {shard: finished[shard] for shard in keys})
    _write_packed_json(folder, form, {split: len(plan) for split, plan in plans.items()})
    repaired = tuple(sorted(set(current) - intact))
    return PackedSplits({split: [placed.clip for placed in plan] for split, plan in plans.items()}, repaired)


def _find_intact(folder: Path, shards: Sequence[str], finished: Mapping[str, Shard], form: _Format) -> set[str]:
    """Return the arrays whose content has the checksum that was stored."""
    digests = map_in_processes(file_sha256, [folder / shard for shard in shards], form.pool("checking"))
    return {shard for shard, digest in zip(shards, digests, strict=True) if digest == finished[shard].sha256}


def _write_checksums(folder: Path, shards: Mapping[str, Shard]) -> None:
    write_text(folder / SHARDS_FILE, json.dumps({name: asdict(shard) for name, shard in shards.items()}, indent=1))


def _write_tables(folder: Path, tables: Mapping[str, str], shards: Mapping[str, Shard]) -> None:
    for name, table in tables.items():
        if _read(folder / name) != table:
            write_text(folder / name, table)
    _write_checksums(folder, shards)


def _write_packed_json(folder: Path, form: _Format, counts: Mapping[str, int]) -> None:
    content = {
        "sample_rate": form.sample_rate,
        "channels": form.channels,
        "version": PACKED_VERSION,
        "clips": counts,
    }
    write_text(folder / "packed.json", json.dumps(content) + "\n")


def _read(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return file.read()


def _place_clips(rows: Sequence[ManifestRow], split: str, form: _Format) -> list[PlacedClip]:
    """Place the clips of a split in the order of their paths. An array ends before the clip that would make it too
    large.
    """
    limit = SHARD_BYTES // (2 * form.channels)
    plan: list[PlacedClip] = []
    shard, start = 0, 0
    used = (row for row in rows if row.used and row.split == split)
    for row in sorted(used, key=lambda row: (row.path, row.start_s)):
        source_frames = round(row.seconds * row.sample_rate)
        frames = -(-source_frames * form.sample_rate // row.sample_rate)
        if start and start + frames > limit:
            shard, start = shard + 1, 0
        clip = Clip(
            clip_id=row.sha256[:16],
            path=row.segment.path,
            domain=row.domain,
            group=row.group,
            seconds=frames / form.sample_rate,
            rms_dbfs=row.rms_dbfs,
            bandwidth_hz=min(row.bandwidth_hz, form.sample_rate / 2),
            noise_dbfs=row.noise_dbfs,
            frames=frames,
            source=row.source,
            licence=row.licence,
            language=row.language,
            text=row.text,
        )
        plan.append(PlacedClip(clip, row.segment, row.sha256, ClipLocation(f"{split}-{shard:05d}.npy", start)))
        start += frames
    return plan


def _by_shard(plan: Sequence[PlacedClip]) -> dict[str, list[PlacedClip]]:
    shards: dict[str, list[PlacedClip]] = {}
    for placed in plan:
        shards.setdefault(placed.place.shard, []).append(placed)
    return shards


def _make_key(clips: Sequence[PlacedClip]) -> str:
    """Return a digest of everything that determines the samples of an array, except its rate and channels."""
    text = "".join(f"{placed.sha256} {placed.place.start} {placed.clip.frames}\n" for placed in clips)
    return hashlib.sha256(text.encode()).hexdigest()


def _format_table(plan: Sequence[PlacedClip]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for placed in plan:
        cells = {**asdict(placed.clip), **asdict(placed.place), "sha256": placed.sha256}
        writer.writerow(cells[name] for name in _COLUMNS)
    return text.getvalue()


@dataclass(frozen=True)
class _ShardTask:
    """An array to be written."""

    shard: Path
    clips: Sequence[PlacedClip]
    form: _Format


def _write_shards(tasks: Sequence[_ShardTask]) -> Generator[str, None, None]:
    """Write arrays and yield the SHA-256 of each: here, one after the other, or elsewhere, each by one process."""
    if tasks and not isinstance(tasks[0].form.workers, int):
        options = PoolOptions(tasks[0].form.workers, "packing", "array")
        alone = [replace(task, form=replace(task.form, workers=1)) for task in tasks]
        yield from map_in_processes(_write_alone, alone, options)
        return
    for number, task in enumerate(tasks, 1):
        _write_shard(task.shard, task.clips, task.form, f"packing {task.shard.name} ({number} of {len(tasks)})")
        yield file_sha256(task.shard)


def _write_alone(task: _ShardTask) -> str:
    _write_shard(task.shard, task.clips, task.form, "")
    return file_sha256(task.shard)


def _write_shard(shard: Path, clips: Sequence[PlacedClip], form: _Format, label: str) -> None:
    frames = sum(placed.clip.frames for placed in clips)
    frame_bytes = 2 * form.channels
    part = temporary_path(shard)
    try:
        head = _allocate(part, shard, frames, form.channels)
        tasks = [
            ClipTask(
                placed.segment,
                part,
                head + frame_bytes * placed.place.start,
                placed.clip.frames,
                form.sample_rate,
                form.channels,
            )
            for placed in clips
        ]
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
