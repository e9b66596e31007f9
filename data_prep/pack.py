"""Write the clips of every split as 16-bit arrays that memory-map.

A clip is mixed to the wanted channels, resampled once, and rounded to 16 bits. One that would pass full scale
(float files, overshoot of the resampling filter) is scaled down as a whole, so that nothing clips.
"""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec import audio
from codec.dataset.array_checksums import SHARDS_FILE, Shard, file_sha256, read_shards
from codec.dataset.packed import PACKED_VERSION, Clip, ClipLocation, packed_folder
from codec.errors import UserError
from codec.runtime.atomic_files import make_folder, temporary_path, write_text
from codec.runtime.process_pool import PoolOptions, map_in_processes
from data_prep.manifest import ManifestRow
from data_prep.segments import AudioSegment
from data_prep.split import SPLITS

SHARD_BYTES = 256 * 2**20
_TOP = 32767 / 32768


@dataclass(frozen=True)
class PlacedClip:
    """A clip and where it goes."""

    clip: Clip
    segment: AudioSegment
    sha256: str
    place: ClipLocation


@dataclass(frozen=True)
class _Task:
    segment: AudioSegment
    target: Path
    """File to write into."""
    offset: int
    """In bytes."""
    frames: int
    sample_rate: int
    channels: int


@dataclass(frozen=True)
class PackedSplits:
    """The clips of every split, and the arrays that were damaged and are whole again."""

    clips: dict[str, list[Clip]]
    repaired: tuple[str, ...]


def pack_splits(rows: Sequence[ManifestRow], data: Path, sample_rate: int, channels: int, workers: int) -> PackedSplits:
    """Pack the used rows of every split. Arrays that are there already, and whole, are not written anew.

    The caller holds the lock of ``data``.

    Raises:
        UserError: full disk, or a file that changed after the inventory.
    """
    folder = packed_folder(data, sample_rate, channels)
    make_folder(folder)
    for part in folder.glob(".*.part"):  # of a process that was killed
        part.unlink(missing_ok=True)
    plans = {split: _plan(rows, split, sample_rate, channels) for split in SPLITS}
    contents = {shard: items for plan in plans.values() for shard, items in _by_shard(plan).items()}
    keys = {shard: _key(items) for shard, items in contents.items()}
    finished = read_shards(folder)
    current = [shard for shard, key in keys.items() if shard in finished and finished[shard].key == key]
    digests = zip(
        current,
        map_in_processes(
            file_sha256,
            [folder / shard for shard in current],
            PoolOptions(workers, "checking", inline_first=True, max_chunk=8),
        ),
        strict=True,
    )
    whole = {shard for shard, found in digests if found == finished[shard].sha256}
    todo = [shard for shard in keys if shard not in whole]
    tables = {f"{split}.csv": _table(plan) for split, plan in plans.items()}
    stale = {file.name for file in folder.glob("*.npy")} - keys.keys()
    if todo or stale or any(_text(folder / name) != table for name, table in tables.items()):
        # From here until the end readers must not take the old tables for the new shards.
        (folder / "packed.json").unlink(missing_ok=True)
    for number, shard in enumerate(todo, 1):
        if finished.pop(shard, None) is not None:
            _write_shards(folder, finished)
        label = f"packing {shard} ({number} of {len(todo)})"
        _write_shard(folder / shard, contents[shard], sample_rate, channels, workers, label)
        finished[shard] = Shard(keys[shard], file_sha256(folder / shard))
        _write_shards(folder, finished)
    for name, table in tables.items():
        if _text(folder / name) != table:
            write_text(folder / name, table)
    for name in stale:
        (folder / name).unlink()
    _write_shards(folder, {shard: finished[shard] for shard in keys})
    counts = {split: len(plan) for split, plan in plans.items()}
    packed = {"sample_rate": sample_rate, "channels": channels, "version": PACKED_VERSION, "clips": counts}
    write_text(folder / "packed.json", json.dumps(packed) + "\n")
    repaired = sorted(set(current) - whole)
    return PackedSplits({split: [item.clip for item in plan] for split, plan in plans.items()}, tuple(repaired))


def _write_shards(folder: Path, shards: Mapping[str, Shard]) -> None:
    write_text(folder / SHARDS_FILE, json.dumps({name: asdict(shard) for name, shard in shards.items()}, indent=1))


def _text(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return file.read()


def _plan(rows: Sequence[ManifestRow], split: str, sample_rate: int, channels: int) -> list[PlacedClip]:
    """In the order of paths; a shard is closed when the next clip would make it too large."""
    limit = SHARD_BYTES // (2 * channels)
    plan: list[PlacedClip] = []
    shard, start = 0, 0
    for row in sorted(
        (row for row in rows if row.used and row.split == split), key=lambda row: (row.path, row.start_s)
    ):
        source_frames = round(row.seconds * row.sample_rate)
        frames = -(-source_frames * sample_rate // row.sample_rate)
        if start and start + frames > limit:
            shard, start = shard + 1, 0
        clip = Clip(
            clip_id=row.sha256[:16],
            path=row.segment.path,
            domain=row.domain,
            group=row.group,
            seconds=frames / sample_rate,
            rms_dbfs=row.rms_dbfs,
            bandwidth_hz=min(row.bandwidth_hz, sample_rate / 2),
            noise_dbfs=row.noise_dbfs,
            frames=frames,
        )
        plan.append(PlacedClip(clip, row.segment, row.sha256, ClipLocation(f"{split}-{shard:05d}.npy", start)))
        start += frames
    return plan


def _by_shard(plan: Sequence[PlacedClip]) -> dict[str, list[PlacedClip]]:
    shards: dict[str, list[PlacedClip]] = {}
    for item in plan:
        shards.setdefault(item.place.shard, []).append(item)
    return shards


def _key(items: Sequence[PlacedClip]) -> str:
    """What determines a shard's samples, beside the folder's rate and channels."""
    text = "".join(f"{item.sha256} {item.place.start} {item.clip.frames}\n" for item in items)
    return hashlib.sha256(text.encode()).hexdigest()


def _table(plan: Sequence[PlacedClip]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    columns = "clip_id shard start frames path domain group seconds rms_dbfs bandwidth_hz noise_dbfs sha256".split()
    writer.writerow(columns)
    for item in plan:
        cells = {**asdict(item.clip), **asdict(item.place), "sha256": item.sha256}
        writer.writerow(cells[name] for name in columns)
    return text.getvalue()


def _write_shard(
    shard: Path, items: Sequence[PlacedClip], sample_rate: int, channels: int, workers: int, label: str
) -> None:
    frames = sum(item.clip.frames for item in items)
    part = temporary_path(shard)
    try:
        with part.open("wb") as file:
            shape = {"descr": "<i2", "fortran_order": False, "shape": (frames, channels)}
            np.lib.format.write_array_header_1_0(file, shape)
            head = file.tell()
            # Fails now if the disk is too small, not after an hour of resampling.
            free = shutil.disk_usage(shard.parent).free
            if free < 2 * frames * channels:
                raise UserError(f"{shard.parent}: the disk has {free / 1e9:.2f} GB left, too little for {shard.name}")
            file.truncate(head + 2 * frames * channels)
        tasks = [
            _Task(
                item.segment,
                part,
                head + 2 * channels * item.place.start,
                item.clip.frames,
                sample_rate,
                channels,
            )
            for item in items
        ]
        for _ in map_in_processes(_write_clip, tasks, PoolOptions(workers, label, inline_first=True, max_chunk=8)):
            pass
        part.replace(shard)
    except OSError as error:
        raise UserError(f"{shard}: cannot write ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)


def _write_clip(task: _Task) -> None:
    peak = _store(task, 1.0)
    if peak > 1.0:
        _store(task, 1.0 / peak)


def _store(task: _Task, gain: float) -> float:
    """Write the clip and return its peak before the gain, counted so that above 1 means it does not fit 16
    bits.
    """
    peak, done = 0.0, 0
    with task.target.open("r+b") as file:
        file.seek(task.offset)
        for block in convert_audio(task.segment, task.sample_rate, task.channels):
            block = block[:, : task.frames - done]
            if block.size:
                peak = max(peak, float(block.max()) / _TOP, -float(block.min()))
            done += block.shape[1]
            file.write(to_int16(block * np.float32(gain)).tobytes())
    if done != task.frames:
        raise UserError(f"{task.segment.path}: changed while it was being packed; run again")
    return peak


def to_int16(wave: audio.FloatArray) -> npt.NDArray[np.int16]:
    """Float ``[channels, n]`` as int16 ``[n, channels]``: round(32768 x), the inverse of reading a 16-bit
    file.
    """
    return np.rint(wave.T * 32768.0).clip(-32768, 32767).astype("<i2")


def convert_audio(segment: AudioSegment, sample_rate: int, channels: int) -> Iterator[audio.FloatArray]:
    """Yield the audio at this rate and channel count in blocks, ``[channels, n]``.

    Equal channel counts stay as they are; otherwise every channel is the mean of the file's.
    """
    file_rate = audio.info(segment.path).sample_rate
    resampler = audio.StreamResampler(file_rate, sample_rate, channels)
    for block in segment.blocks(file_rate):
        if len(block) != channels:
            block = np.repeat(block.mean(axis=0, keepdims=True), channels, axis=0)
        yield resampler.push(block)
    yield resampler.flush()
