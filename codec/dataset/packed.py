"""Packed audio: what ``codec prepare`` wrote, read through memory maps; and the seal on the test split.

Training and search read ``train`` and ``val``. The test split opens through :func:`open_sealed_test` alone,
which first writes a line into the ledger beside the data, so that every look at it is on record. Models that are named
together are judged in one opening; a later one for other models has to be asked for. What its clips are called and how
long they are (:func:`list_clips`) may be known before, so that what is to be judged can be checked first.
"""

import csv
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from codec.config import TargetConfig
from codec.dataset.array_checksums import digest_once, read_shards
from codec.dataset.ledger import LedgerEntry, Purpose, SealedError, open_ledger
from codec.errors import UserError

VERSION = 1


@dataclass(frozen=True)
class Clip:
    """One packed clip. ``path`` is the source file; levels and bandwidth are the source's."""

    clip_id: str
    path: Path
    domain: str
    group: str
    seconds: float
    rms_dbfs: float
    bandwidth_hz: float
    noise_dbfs: float
    frames: int


class Described(Protocol):
    """What :func:`in_distribution` looks at."""

    @property
    def domain(self) -> str: ...
    @property
    def rms_dbfs(self) -> float: ...
    @property
    def bandwidth_hz(self) -> float: ...
    @property
    def noise_dbfs(self) -> float: ...


def in_distribution(clip: Described, target: TargetConfig) -> bool:
    """Whether the clip's domain is one of the target's (or none is listed) and it lies inside every range."""
    return (
        (not target.domains or clip.domain in target.domains)
        and target.level_dbfs[0] <= clip.rms_dbfs <= target.level_dbfs[1]
        and target.bandwidth_hz[0] <= clip.bandwidth_hz <= target.bandwidth_hz[1]
        and target.noise_dbfs[0] <= clip.noise_dbfs <= target.noise_dbfs[1]
    )


def folder_for(data: Path, sample_rate: int, channels: int) -> Path:
    """Where the packed clips of this rate and channel count lie."""
    return data / "packed" / f"{sample_rate}x{channels}"


@dataclass(frozen=True)
class DatasetSummary:
    """What a model is trained on. ``domains``: seconds of each."""

    clips: int
    groups: int
    seconds: float
    domains: dict[str, float]


class PackedSplit:
    """The clips of one split. Memory-maps are opened on first use, also after pickling into another
    process.
    """

    def __init__(self, folder: Path, clips: list[Clip], places: list["Place"], sample_rate: int, channels: int) -> None:
        self.clips = clips
        self.sample_rate = sample_rate
        self.channels = channels
        self._folder = folder
        self._places = places
        self._maps: dict[str, npt.NDArray[np.int16]] = {}

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def material(self) -> DatasetSummary:
        domains: dict[str, float] = {}
        for clip in self.clips:
            domains[clip.domain] = domains.get(clip.domain, 0.0) + clip.seconds
        return DatasetSummary(len(self), len({clip.group for clip in self.clips}), sum(domains.values()), domains)

    def wave(self, i: int, start: int = 0, frames: int | None = None) -> npt.NDArray[np.int16]:
        """Clip ``i`` from ``start``: int16 ``[frames, channels]``, a view of the file. Shorter at the clip's
        end.
        """
        place, length = self._places[i], self.clips[i].frames
        start = min(max(start, 0), length)
        stop = length if frames is None else min(start + frames, length)
        return self._map(place.shard)[place.start + start : place.start + stop]

    def check(self) -> None:
        """Compare the shape and type of each array with the table; nothing but the headers is read.

        Raises:
            UserError: an array is missing, or is not what the table says.
        """
        ends: dict[str, int] = {}
        for place, clip in zip(self._places, self.clips, strict=True):
            ends[place.shard] = max(ends.get(place.shard, 0), place.start + clip.frames)
        for shard, end in sorted(ends.items()):
            array = self._map(shard)
            if len(array) < end:
                raise UserError(
                    f"{self._folder / shard}: holds {len(array)} frames, but its clips end at {end}; {_CURE}"
                )

    def verify(self) -> None:
        """Compare the checksum of each array with the one that ``codec prepare`` noted; all of them are read.

        Arrays without a noted checksum, as the first versions wrote them, pass.

        Raises:
            UserError: an array has changed.
        """
        noted = read_shards(self._folder)
        for shard in sorted({place.shard for place in self._places} & noted.keys()):
            path = self._folder / shard
            if digest_once(path) != noted[shard].sha256:
                raise UserError(f"{path}: its samples have changed (the checksum is another); {_CURE}")

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits of the clips in their order; those of equal data are equal, wherever it lies."""
        lines = (f"{clip.clip_id} {clip.frames} {clip.domain}\n" for clip in self.clips)
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    def _map(self, shard: str) -> npt.NDArray[np.int16]:
        if shard not in self._maps:
            path = self._folder / shard
            try:
                array = np.lib.format.open_memmap(path, mode="r")  # unlike np.load, no archive and no pickle
            except Exception as error:  # a damaged header ends in whatever its parser raises
                raise UserError(f"{path}: missing or damaged; {_CURE}") from error
            if array.dtype != "<i2" or array.shape[1:] != (self.channels,):
                raise UserError(f"{path}: not an array of 16-bit samples of {self.channels} channels; {_CURE}")
            self._maps[shard] = array
        return self._maps[shard]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}


@dataclass(frozen=True)
class Place:
    """Where a clip lies: file name of the shard, and first frame in it."""

    shard: str
    start: int


_CURE = "run codec prepare again, which writes damaged arrays anew"


_ARRAY = re.compile(r"\w[\w.-]*\.npy")
"""File names of arrays; none leads out of the folder."""


def _open(data: Path, split: str, sample_rate: int, channels: int) -> PackedSplit:
    data = Path(data)
    if not data.is_dir():
        raise UserError(f"{data}: no such data folder; run: codec prepare AUDIO --out {data}")
    folder = folder_for(data, sample_rate, channels)
    if not (folder / "packed.json").is_file():
        present = sorted(file.parent.name for file in data.glob("packed/*/packed.json"))
        command = f"codec prepare AUDIO --out {data} --rate {sample_rate} --channels {channels}"
        if present:
            raise UserError(f"{data}: holds {', '.join(present)}, not {sample_rate}x{channels}; run: {command}")
        raise UserError(f"{data}: holds no packed audio (never prepared, or interrupted); run: {command}")
    try:
        header = json.loads((folder / "packed.json").read_text(encoding="utf-8"))
        version, counts = header["version"], dict(header.get("clips", {}))
        if version != VERSION:
            raise UserError(f"{folder}: written by another version (format {version}, not {VERSION}); prepare it again")
        clips, places = _read_table(folder / f"{split}.csv")
    except (OSError, ValueError, KeyError, TypeError, RecursionError, csv.Error) as error:
        raise UserError(f"{folder}: damaged ({error}); {_CURE}") from error
    if (stated := counts.get(split, len(clips))) != len(clips):
        raise UserError(f"{folder / split}.csv: holds {len(clips)} clips, but {stated} were packed; {_CURE}")
    if (header.get("sample_rate"), header.get("channels")) != (sample_rate, channels):
        raise UserError(f"{folder}: holds audio of another rate or channel count than its name says; {_CURE}")
    if not clips:
        raise UserError(
            f"{data}: the {split} split is empty; prepare with more groups, or with other --ratios into a new --out"
        )
    opened = PackedSplit(folder, clips, places, sample_rate, channels)
    opened.check()
    return opened


def _read_table(path: Path) -> tuple[list[Clip], list[Place]]:
    clips, places = [], []
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        for row in csv.DictReader(file):
            place = Place(row["shard"], int(row["start"]))
            if not _ARRAY.fullmatch(place.shard):
                raise ValueError(f"{path.name} names {place.shard[:80]!r}, which is no array of this folder")
            if place.start < 0 or int(row["frames"]) <= 0:
                raise ValueError(f"{path.name} holds a clip of {row['frames']} frames from {place.start}")
            places.append(place)
            clips.append(
                Clip(
                    clip_id=row["clip_id"],
                    path=Path(row["path"]),
                    domain=row["domain"],
                    group=row["group"],
                    seconds=float(row["seconds"]),
                    rms_dbfs=float(row["rms_dbfs"]),
                    bandwidth_hz=float(row["bandwidth_hz"]),
                    noise_dbfs=float(row["noise_dbfs"]),
                    frames=int(row["frames"]),
                )
            )
    return clips, places


def open_split(data: Path, split: Literal["train", "val"], sample_rate: int, channels: int) -> PackedSplit:
    """The training or validation clips at this rate and channel count.

    Raises:
        SealedError: for "test".
        UserError: no such folder, not prepared, or prepared at other rates or channel counts.
    """
    if split not in ("train", "val"):
        raise SealedError(f"the {split} split is sealed; only codec evaluate opens it, and writes that down")
    return _open(data, split, sample_rate, channels)


def list_clips(data: Path, split: Literal["train", "val", "test"], sample_rate: int, channels: int) -> list[Clip]:
    """What the table of a split says of its clips, without their sound. Raises like :func:`open_split`, but for the
    seal."""
    return _open(data, split, sample_rate, channels).clips


@dataclass(frozen=True)
class OpenedTest:
    """The test clips, the line in the ledger about this opening, and those before it."""

    split: PackedSplit
    opening: LedgerEntry
    before: list[LedgerEntry]


def open_sealed_test(
    data: Path,
    sample_rate: int,
    channels: int,
    *,
    run: str,
    weights: list[str],
    purpose: Purpose,
    again: bool = False,
) -> OpenedTest:
    """The test clips, after a line in the ledger that says who looked: the run, and checksums of all weights that are
    to be judged.

    Raises ``SealedError`` where it was opened before and not for all of these weights, unless ``again``.
    """
    split = _open(data, "test", sample_rate, channels)
    return OpenedTest(split, *open_ledger(Path(data), run=run, weights=weights, purpose=purpose, again=again))
