"""Data that is streamed: shards at a URL, or in a local folder in the layout of another tool, through the cache.

Three layouts are recognised:

- the folder of ``codec prepare``, copied to the URL as it is;
- WebDataset: ``train/*.tar`` and ``val/*.tar`` with encoded audio;
- litdata: ``train/index.json`` and ``val/index.json`` with chunks of encoded audio.

Shards of the last two are decoded when they enter the cache. Their clips are listed once, which reads every shard; the
lists stay in the cache. Who divides such data decides what is held out: ``test/`` is never opened here, and a group or
a clip in both ``train`` and ``val`` is refused.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from codec import audio
from codec.audio.int16_conversion import LARGEST, convert_blocks, to_int16
from codec.audio.statistics import AudioMeter
from codec.dataset.array_checksums import SHARDS_FILE, file_sha256, parse_shards
from codec.dataset.arrays import DamagedShardError
from codec.dataset.cached_arrays import CachedArrays
from codec.dataset.clips import Clip, ClipLocation, ClipTable
from codec.dataset.columns import GROUP_COLUMNS, LANGUAGE_COLUMNS, LICENCE_COLUMNS, TEXT_COLUMNS, first_cell
from codec.dataset.packed import packed_folder, parse_split
from codec.dataset.packed_split import PackedSplit
from codec.dataset.remote_files import MissingFileError, RemoteFolder
from codec.dataset.shard_cache import ShardCache, default_cache
from codec.dataset.shard_samples import ChunkLayout, ShardSample, parse_chunk_index, read_chunk, read_tar
from codec.errors import UserError
from codec.runtime.atomic_files import write_text
from codec.runtime.json_files import from_json, parse_json
from codec.runtime.process_pool import PoolOptions, map_in_processes

_HEADER_BYTES = 128
"""Header of an array in NumPy's format."""
_LIST_VERSION = 1
_QUESTIONS = 16
"""Questions that a server is asked at a time."""


def holds_shards(data: Path) -> bool:
    """Return whether a local folder has shards of WebDataset or litdata.

    Args:
        data: the folder

    Returns:
        True if there are tars or an index in its folder ``train``.
    """
    return (data / "train/index.json").is_file() or next((data / "train").glob("*.tar"), None) is not None


def open_split(url: str, split: str, sample_rate: int, channels: int, max_damaged_share: float = 0.0) -> PackedSplit:
    """Open a split at a URL.

    Args:
        url: URL or local path of the folder
        split: ``"train"`` or ``"val"``, or for :mod:`codec.dataset.sealed_test` ``"test"``
        sample_rate: in Hz
        channels: number of channels
        max_damaged_share: share of the frames that may be in damaged arrays, whose clips are skipped

    Returns:
        The split.

    Raises:
        UserError: there is no such data, it does not fit, or it cannot be read.
    """
    folder, cache, form = RemoteFolder(url), default_cache(), (sample_rate, channels)
    base = packed_folder(Path(), sample_rate, channels).as_posix()
    try:
        header = folder.read(f"{base}/packed.json").decode()
    except MissingFileError:
        if split == "test":
            raise UserError(
                f"{url}: there is no sealed test split here, which only the folder of codec prepare has; use --split"
                " val, or give such a folder"
            ) from None
        return _open_samples(folder, cache, split, form, max_damaged_share)
    except UnicodeDecodeError as error:
        raise UserError(f"{url}/{base}/packed.json: damaged ({error})") from error
    table = folder.read(f"{base}/{split}.csv").decode("utf-8", "surrogateescape").splitlines(keepends=True)
    clips = parse_split(f"{url}/{base}", header, table, split, form)
    if not clips:
        raise UserError(f"{url}: the {split} split is empty")
    try:
        recorded = parse_shards(folder.read(f"{base}/{SHARDS_FILE}").decode("utf-8", "replace"))
    except MissingFileError:
        recorded = {}
    checksums = {name: known.sha256 for name, known in recorded.items()}
    source = _PackedSource(RemoteFolder(f"{url}/{base}"), checksums, _array_sizes(clips, channels))
    arrays = CachedArrays(source, cache, channels)
    return PackedSplit(arrays, clips, sample_rate, channels, max_damaged_share)


def _array_sizes(clips: ClipTable, channels: int) -> dict[str, int]:
    """Return the size of each array in bytes, by its name."""
    names, shard = clips.words("shard")
    ends = np.zeros(len(names), np.int64)
    np.maximum.at(ends, shard, clips.numbers("start") + clips.numbers("frames"))
    return dict(zip(names, (_HEADER_BYTES + 2 * channels * ends).tolist(), strict=True))


def require_disjoint(train: PackedSplit, val: PackedSplit) -> None:
    """Check that no clip and no group is in both splits.

    Args:
        train: training clips
        val: validation clips

    Raises:
        UserError: there is one, which the message names.
    """
    held_out = {clip.clip_id: clip for clip in val.clips}
    for clip in train.clips:
        if clip.clip_id in held_out:
            raise UserError(f"{held_out[clip.clip_id].path} in val has the same samples as {clip.path} in train")
    groups = set(train.clips.words("group")[0])
    for group in val.clips.words("group")[0]:
        if group in groups:
            raise UserError(f"the group {group!r} is in both train and val; each group must be in one of them")


@dataclass(frozen=True)
class _PackedSource:
    """Arrays of ``codec prepare`` at a URL."""

    folder: RemoteFolder
    checksums: Mapping[str, str]
    sizes: Mapping[str, int]

    def where(self, shard: str) -> str:
        return f"{self.folder.url}/{shard}"

    def key(self, shard: str) -> str:
        return self.checksums.get(shard) or f"{self.folder.url}/{shard} {self.sizes[shard]}"

    def size(self, shard: str) -> int:
        return self.sizes[shard]

    def fill(self, shard: str, path: Path) -> None:
        where, wanted = self.where(shard), self.checksums.get(shard)
        for _ in range(2):  # what arrives may be damaged on the way
            try:
                self.folder.download(shard, path)
            except MissingFileError as error:
                raise DamagedShardError(str(error)) from error
            if not wanted or file_sha256(path) == wanted:
                break
        else:
            raise DamagedShardError(f"{where}: other checksum than recorded; the file is damaged or was replaced")
        if path.stat().st_size < self.sizes[shard]:
            raise DamagedShardError(f"{where}: cut off: {path.stat().st_size} bytes, not {self.sizes[shard]}")


@dataclass(frozen=True)
class _SampleSource:
    """Arrays that are decoded from shards of encoded audio."""

    folder: RemoteFolder
    sample_rate: int
    channels: int
    identities: Mapping[str, str]
    """What changes when a shard is written again, by its name."""
    cache: ShardCache
    layout: ChunkLayout | None = None
    """Layout of litdata's chunks; None: WebDataset's tars."""
    sizes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of each array, as far as its clips are listed."""

    def where(self, shard: str) -> str:
        return f"{self.folder.url}/{shard}"

    def key(self, shard: str) -> str:
        return f"{_LIST_VERSION} {self.sample_rate}x{self.channels} {self.identities[shard]}"

    def size(self, shard: str) -> int:
        return self.sizes.get(shard, 0)

    def list_path(self, shard: str) -> Path:
        return self.cache.folder / "lists" / self.cache.path(self.key(shard)).with_suffix(".json").name

    def read_list(self, shard: str) -> "_ShardList | None":
        """Return what is known of a shard; None if it was never decoded, or the list is damaged."""
        try:
            return _ShardList.parse(self.list_path(shard).read_text(encoding="utf-8", errors="surrogateescape"))
        except (OSError, ValueError):
            return None

    def fill(self, shard: str, path: Path) -> None:
        raw = path.with_name(f".raw{path.name}")
        try:
            self.folder.download(shard, raw)
            found = self._decode(shard, raw, path)
        except MissingFileError as error:
            raise DamagedShardError(str(error)) from error
        except DamagedShardError as error:
            raise DamagedShardError(f"{self.where(shard)}: {error}") from error
        finally:
            raw.unlink(missing_ok=True)
        self.list_path(shard).parent.mkdir(parents=True, exist_ok=True)
        write_text(self.list_path(shard), found.text())

    def _decode(self, shard: str, raw: Path, path: Path) -> "_ShardList":
        """Write the audio of all samples one after the other; a file that cannot be decoded is left out."""
        clips: list[Clip] = []
        left_out: dict[str, str] = {}
        frames = 0
        samples = read_tar(raw) if self.layout is None else read_chunk(raw, self.layout)
        with path.open("wb") as out:
            _write_header(out, 0, self.channels)
            for sample in samples:
                if not sample.audio:
                    left_out[sample.key] = "no audio"
                    continue
                try:
                    stored, clip = self._convert(shard, sample, path)
                except audio.AudioError as error:
                    left_out[sample.key] = error.reason
                    continue
                out.write(stored.tobytes())
                clips.append(clip)
                frames += len(stored)
            out.seek(0)
            _write_header(out, frames, self.channels)
        return _ShardList(clips, left_out)

    def _convert(self, shard: str, sample: ShardSample, path: Path) -> tuple[Any, Clip]:
        file = path.with_name(f".audio{path.name}")  # a name of the cache, which removes it if this process is killed
        try:
            file.write_bytes(sample.audio)
            rate = audio.info(file).sample_rate
            meter, blocks = AudioMeter(rate), []
            for block in audio.blocks(file):
                meter.push(block)
                blocks.append(block)
            if meter.frames == 0:
                raise audio.AudioError(file, "empty", "holds no samples")
        finally:
            file.unlink(missing_ok=True)
        wave = np.concatenate(list(convert_blocks(iter(blocks), rate, self.sample_rate, self.channels)), axis=1)
        peak = max(float(wave.max()) / LARGEST, -float(wave.min()), 1.0)
        stored, stats, name = (
            to_int16((wave / np.float32(peak)).astype(np.float32)),
            meter.stats(),
            f"{shard}/{sample.key}",
        )
        return stored, Clip(
            clip_id=stats.sha256[:16],
            path=Path(f"{name}{sample.suffix}"),
            domain=sample.fields.get("domain") or "audio",
            group=first_cell(sample.fields, GROUP_COLUMNS) or name,
            seconds=len(stored) / self.sample_rate,
            rms_dbfs=stats.rms_dbfs,
            bandwidth_hz=min(stats.bandwidth_hz, self.sample_rate / 2),
            noise_dbfs=stats.noise_dbfs,
            frames=len(stored),
            source=sample.fields.get("source") or "",
            licence=first_cell(sample.fields, LICENCE_COLUMNS),
            language=first_cell(sample.fields, LANGUAGE_COLUMNS),
            text=" ".join(first_cell(sample.fields, TEXT_COLUMNS).split()),
        )


@dataclass(frozen=True)
class _ShardList:
    """What a shard holds."""

    clips: list[Clip]
    left_out: dict[str, str]
    """Samples without a clip, each with the reason."""

    def text(self) -> str:
        return json.dumps({"version": _LIST_VERSION, **asdict(self)}, default=str) + "\n"

    @classmethod
    def parse(cls, text: str) -> "_ShardList":
        values = parse_json(text)
        if not isinstance(values, dict) or values.get("version") != _LIST_VERSION:
            raise ValueError("another version")
        return from_json(cls, values)


def _write_header(out: Any, frames: int, channels: int) -> None:
    """Write the header of an array; NumPy leaves room in it for any number of frames."""
    np.lib.format.write_array_header_1_0(out, {"descr": "<i2", "fortran_order": False, "shape": (frames, channels)})


def _open_samples(
    folder: RemoteFolder, cache: ShardCache, split: str, form: tuple[int, int], max_damaged_share: float
) -> PackedSplit:
    """Open tars or chunks of encoded audio, whose clips are listed first."""
    shards, layout = _find_shards(folder, split)
    with ThreadPoolExecutor(_QUESTIONS) as threads:
        identities = dict(zip(shards, threads.map(folder.identity, shards)))
    source = _SampleSource(folder, *form, identities, cache, layout)
    damaged = _list_clips(source, shards, split)
    left_out: dict[str, str] = {}
    clips = ClipTable(_read_lists(source, shards, left_out))
    _require_most(folder.url, split, len(damaged) / len(shards), damaged, max_damaged_share)
    _require_most(folder.url, split, len(left_out) / max(1, len(left_out) + len(clips)), left_out, max_damaged_share)
    if not clips:
        raise UserError(f"{folder.url}: the {split} split has no clip")
    source = replace(source, sizes=_array_sizes(clips, form[1]))
    opened = PackedSplit(CachedArrays(source, cache, form[1]), clips, *form, max_damaged_share)
    if lost := damaged | left_out:
        first = next(iter(lost.items()))
        opened.left_out = (
            f"{split}: {len(damaged)} damaged shards and {len(left_out)} samples are left out, such as {first[0]}:"
            f" {first[1]}"
        )
    return opened


def _read_lists(
    source: _SampleSource, shards: Sequence[str], left_out: dict[str, str]
) -> Iterator[tuple[Clip, ClipLocation]]:
    """Yield the clips of shards with their locations, and enter what has no clip into ``left_out``, with the reason."""
    for shard in shards:
        start = 0
        if found := source.read_list(shard):
            left_out |= {f"{shard}/{key}": reason for key, reason in found.left_out.items()}
            for clip in found.clips:
                yield clip, ClipLocation(shard, start)
                start += clip.frames


def _require_most(url: str, split: str, share: float, lost: Mapping[str, str], limit: float) -> None:
    if lost and share > limit:
        name, reason = next(iter(lost.items()))
        raise UserError(
            f"{url}: {len(lost)} shards or samples of {split} ({share:.1%}) cannot be used, such as {name}: {reason};"
            f" remove them, or set data.max_damaged_share above {share:.3g}"
        )


def _find_shards(folder: RemoteFolder, split: str) -> tuple[list[str], ChunkLayout | None]:
    try:
        names, layout = parse_chunk_index(folder.read(f"{split}/index.json"))
    except MissingFileError:
        shards = folder.list(split, ".tar")
        if not shards:
            raise UserError(
                f"{folder.url}: there is no data here: neither packed/ of codec prepare at this rate, nor {split}/ with"
                " tars of WebDataset or litdata's index.json"
            ) from None
        return shards, None
    except UserError as error:
        raise UserError(f"{folder.url}/{split}/{error}") from error
    return [f"{split}/{name}" for name in names], layout


def _list_clips(source: _SampleSource, shards: Sequence[str], split: str) -> dict[str, str]:
    """Decode shards that were never decoded; return those that are damaged, each with the reason."""
    todo = [shard for shard in shards if source.read_list(shard) is None]
    options = PoolOptions(os.cpu_count() or 1, f"listing {split}", unit="shard", inline_first=True)
    results: Iterator[str] = map_in_processes(_list_shard, [(source, shard) for shard in todo], options)
    return {shard: reason for shard, reason in zip(todo, results, strict=True) if reason}


def _list_shard(item: tuple[_SampleSource, str]) -> str:
    """Decode a shard, unless there is its list; return why it is damaged, or an empty text."""
    source, shard = item
    if source.read_list(shard) is not None:  # another process was faster
        return ""
    try:
        source.cache.path(source.key(shard)).unlink(missing_ok=True)
        source.cache.get(source.key(shard), lambda path: source.fill(shard, path))
    except DamagedShardError as error:
        return str(error)
    return ""
