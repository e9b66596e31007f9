"""Shards of encoded audio, which are decoded when they enter the cache; a list of its clips stays there for each."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from codec import audio
from codec.audio.int16_conversion import LARGEST, convert_blocks, to_int16
from codec.audio.statistics import AudioMeter
from codec.dataset.arrays import DamagedShardError
from codec.dataset.clips import Clip
from codec.dataset.columns import GROUP_COLUMNS, LANGUAGE_COLUMNS, LICENCE_COLUMNS, TEXT_COLUMNS, first_cell
from codec.dataset.remote_files import MissingFileError, RemoteFolder
from codec.dataset.shard_cache import ShardCache
from codec.dataset.shard_samples import ChunkLayout, ShardSample, read_chunk, read_tar
from codec.runtime.atomic_files import write_text
from codec.runtime.json_files import from_json, parse_json

_LIST_VERSION = 1


@dataclass(frozen=True)
class SampleSource:
    """Arrays that are decoded from shards of encoded audio; a :class:`codec.dataset.cached_arrays.ShardSource`."""

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
        """Return the URL of a shard; see :meth:`codec.dataset.cached_arrays.ShardSource.where`."""
        return f"{self.folder.url}/{shard}"

    def key(self, shard: str) -> str:
        """Return what identifies a shard; see :meth:`codec.dataset.cached_arrays.ShardSource.key`."""
        return f"{_LIST_VERSION} {self.sample_rate}x{self.channels} {self.identities[shard]}"

    def size(self, shard: str) -> int:
        """Return the size of an array; see :meth:`codec.dataset.cached_arrays.ShardSource.size`."""
        return self.sizes.get(shard, 0)

    def list_path(self, shard: str) -> Path:
        """Return where the list of a shard is or would be.

        Args:
            shard: its name

        Returns:
            The path.
        """
        return self.cache.folder / "lists" / self.cache.path(self.key(shard)).with_suffix(".json").name

    def read_list(self, shard: str) -> "ShardList | None":
        """Return what a shard holds.

        Args:
            shard: its name

        Returns:
            Its list; None if it was never decoded, or the list is damaged.
        """
        try:
            return ShardList.parse(self.list_path(shard).read_text(encoding="utf-8", errors="surrogateescape"))
        except (OSError, ValueError):
            return None

    def fill(self, shard: str, path: Path) -> None:
        """Decode a shard, and write its list; see :meth:`codec.dataset.cached_arrays.ShardSource.fill`."""
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

    def _decode(self, shard: str, raw: Path, path: Path) -> "ShardList":
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
        return ShardList(clips, left_out)

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
class ShardList:
    """What a shard holds."""

    clips: list[Clip]
    left_out: dict[str, str]
    """Samples without a clip, each with the reason."""

    def text(self) -> str:
        """Format the list.

        Returns:
            JSON.
        """
        return json.dumps({"version": _LIST_VERSION, **asdict(self)}, default=str) + "\n"

    @classmethod
    def parse(cls, text: str) -> "ShardList":
        """Read a list.

        Args:
            text: as :meth:`text` returns it

        Returns:
            The list.

        Raises:
            ValueError: it is damaged, or of another version.
        """
        values = parse_json(text)
        if not isinstance(values, dict) or values.get("version") != _LIST_VERSION:
            raise ValueError("another version")
        return from_json(cls, values)


def _write_header(out: Any, frames: int, channels: int) -> None:
    """Write the header of an array; NumPy leaves room in it for any number of frames."""
    np.lib.format.write_array_header_1_0(out, {"descr": "<i2", "fortran_order": False, "shape": (frames, channels)})


def list_shard(item: tuple[SampleSource, str]) -> str:
    """List the clips of a shard, unless there is a list.

    Args:
        item: where the shard comes from, and its name

    Returns:
        Why it is damaged; empty if it is not.
    """
    source, shard = item
    if source.read_list(shard) is not None:  # another process was faster
        return ""
    try:
        source.cache.path(source.key(shard)).unlink(missing_ok=True)
        source.cache.get(source.key(shard), lambda path: source.fill(shard, path))
    except DamagedShardError as error:
        return str(error)
    return ""
