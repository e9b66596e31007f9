"""Packed audio: the clips that ``codec prepare`` wrote, read through memory maps.

Training and search read the splits ``train`` and ``val`` (:func:`open_split`). The test split is sealed: its audio is
read only through :mod:`codec.dataset.sealed_test`. The table of any split, without its audio, may be read at any time
(:func:`list_clips`).
"""

import csv
import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from codec.dataset.arrays import REMEDY, DamagedShardError, LocalArrays, ShardArrays
from codec.dataset.ledger import SealedError
from codec.errors import UserError

PACKED_VERSION = 1
"""Version of the packed format, in ``packed.json``."""
FULL_SCALE = 32768
"""The 16-bit value that stands for a sample of 1.0."""
_ARRAY_NAME = re.compile(r"\w[\w.-]*\.npy")
"""File names of arrays; none contains a path."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One packed clip, as the table of its split describes it."""

    clip_id: str
    """Digest of the audio."""
    path: Path
    """Source file."""
    domain: str
    """speech, music, general or another word of the manifest."""
    group: str
    """Clips of one group, such as a speaker, are in one split."""
    seconds: float
    rms_dbfs: float
    """RMS level of the source."""
    bandwidth_hz: float
    """Frequency up to which the source has content."""
    noise_dbfs: float
    """Level of the quietest tenth of the source's 20 ms frames."""
    frames: int
    """Samples per channel at the packed sample rate."""
    source: str = ""
    """Corpus, list or folder that the clip comes from; empty in tables that an earlier version wrote."""
    licence: str = ""
    """Licence as the user's list states it; empty if it does not."""
    language: str = ""
    """Language as the user's list states it; empty if it does not."""
    text: str = ""
    """Words that are spoken; empty if unknown."""


@dataclass(frozen=True, slots=True)
class ClipLocation:
    """Location of the samples of a clip."""

    shard: str
    """File name of the array."""
    start: int
    """First frame of the clip in that array."""


@dataclass(frozen=True)
class DatasetSummary:
    """Size of the data that a model is trained on."""

    clips: int
    groups: int
    seconds: float
    domains: dict[str, float]
    """Seconds of each domain."""


@dataclass(frozen=True)
class SourceSummary:
    """The clips of one source in a split."""

    source: str
    frames: int
    """Samples per channel at the packed sample rate."""
    licences: list[str]
    """The different licences of its clips, sorted; empty if the user's list states none."""
    languages: list[str]
    """The different languages of its clips, sorted; empty if the user's list states none."""


def packed_folder(data: Path, sample_rate: int, channels: int) -> Path:
    """Return the folder of the packed clips of one sample rate and channel count.

    Args:
        data: the folder that ``codec prepare`` wrote
        sample_rate: in Hz
        channels: number of channels

    Returns:
        The folder, whether it exists or not.

    >>> packed_folder(Path("data"), 16000, 1).as_posix()
    'data/packed/16000x1'
    """
    return data / "packed" / f"{sample_rate}x{channels}"


class PackedSplit:
    """The clips of one split.

    Args:
        arrays: the arrays that hold the samples
        clips: the clips of the split
        locations: where each clip is stored, in the order of ``clips``
        sample_rate: in Hz
        channels: number of channels
        max_damaged_share: share of the frames that :meth:`skip` may leave out
    """

    def __init__(
        self,
        arrays: ShardArrays,
        clips: list[Clip],
        locations: list[ClipLocation],
        sample_rate: int,
        channels: int,
        max_damaged_share: float = 0.0,
    ) -> None:
        self.arrays = arrays
        self.clips = clips
        self.sample_rate = sample_rate
        self.channels = channels
        self.max_damaged_share = max_damaged_share
        self.damaged: dict[str, str] = {}
        """Arrays whose clips are skipped, each with the reason."""
        self.left_out = ""
        """What of the data has no clip here, in one line; empty if nothing."""
        self._locations = locations

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def summary(self) -> DatasetSummary:
        """Number of clips and groups, and seconds per domain."""
        domains: dict[str, float] = {}
        for clip in self.clips:
            domains[clip.domain] = domains.get(clip.domain, 0.0) + clip.seconds
        return DatasetSummary(len(self), len({clip.group for clip in self.clips}), sum(domains.values()), domains)

    @property
    def sources(self) -> list[SourceSummary]:
        """The sources of the clips, sorted by name; a table that names none has one source without a name."""
        clips: dict[str, list[Clip]] = {}
        for clip in self.clips:
            clips.setdefault(clip.source, []).append(clip)
        return [
            SourceSummary(
                source,
                sum(clip.frames for clip in members),
                sorted({clip.licence for clip in members} - {""}),
                sorted({clip.language for clip in members} - {""}),
            )
            for source, members in sorted(clips.items())
        ]

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that depend on the clips and their order, not on where the data is stored."""
        lines = (f"{clip.clip_id} {clip.frames} {clip.domain}\n" for clip in self.clips)
        return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()[:16]

    @property
    def shards(self) -> dict[str, list[int]]:
        """Numbers of the clips in each array, by its name, in the order of the table."""
        shards: dict[str, list[int]] = {}
        for index, location in enumerate(self._locations):
            shards.setdefault(location.shard, []).append(index)
        return shards

    def shard_of(self, index: int) -> str:
        """Return the name of the array that holds a clip.

        Args:
            index: number of the clip in :attr:`clips`

        Returns:
            The name.
        """
        return self._locations[index].shard

    def waveform(self, index: int, start: int = 0, frames: int | None = None) -> npt.NDArray[np.float32]:
        """Return the samples of a clip, or of a part of it.

        Args:
            index: number of the clip in :attr:`clips`
            start: first frame of the part; beyond the ends of the clip it is moved to the nearest end
            frames: length of the part; None: up to the end of the clip

        Returns:
            float32 ``[channels, frames]``, full scale ±1; shorter than ``frames`` if the clip ends before.

        Raises:
            DamagedShardError: the array is missing or damaged.
        """
        stored = self.stored(index)
        start = min(max(start, 0), len(stored))
        stop = len(stored) if frames is None else min(start + frames, len(stored))
        return np.divide(stored[start:stop].T, np.float32(FULL_SCALE), order="C", dtype=np.float32)

    def stored(self, index: int) -> npt.NDArray[np.int16]:
        """Return the samples of a clip as they are stored.

        Args:
            index: number of the clip in :attr:`clips`

        Returns:
            int16 ``[frames, channels]``, full scale :data:`FULL_SCALE`, to be read only.

        Raises:
            DamagedShardError: the array is missing or damaged.
        """
        location = self._locations[index]
        return self.arrays.array(location.shard)[location.start : location.start + self.clips[index].frames]

    def check(self) -> None:
        """Compare the shape and type of each array with the table; only the headers are read.

        Raises:
            UserError: arrays are missing, or are not what the table describes, and hold more than
                ``max_damaged_share`` of the frames.
        """
        for shard, members in self.shards.items():
            try:
                held = len(self.arrays.array(shard))
                end = max(self._locations[index].start + self.clips[index].frames for index in members)
                if held < end:
                    raise DamagedShardError(
                        f"{self.arrays.where(shard)}: holds {held} frames, but its clips end at {end}; {REMEDY}"
                    )
            except DamagedShardError as error:
                self.skip(shard, str(error))

    def verify(self) -> None:
        """Compare the checksum of each array with the one that ``codec prepare`` recorded; all of them are read.

        Raises:
            UserError: arrays have changed that hold more than ``max_damaged_share`` of the frames.
        """
        for shard in sorted(self.shards):
            try:
                self.arrays.verify(shard)
            except DamagedShardError as error:
                self.skip(shard, str(error))

    def skip(self, shard: str, reason: str) -> bool:
        """Leave out the clips of a damaged array from now on.

        Args:
            shard: name of the array
            reason: what is wrong, in one line

        Returns:
            False if it is left out already.

        Raises:
            UserError: the arrays left out hold more than ``max_damaged_share`` of the frames.
        """
        if shard in self.damaged:
            return False
        self.damaged[shard] = reason
        clips, share = self._count_skipped()
        if share > self.max_damaged_share:
            lost = f"{share:.1%} of the audio, {clips} clips, is damaged, above data.max_damaged_share"
            raise DamagedShardError(f"{reason} ({lost})" if self.max_damaged_share else reason)
        return True

    def describe_damage(self) -> str:
        """Describe what is left out.

        Returns:
            One line; empty if nothing is.
        """
        if not self.damaged:
            return ""
        clips, share = self._count_skipped()
        return f"{len(self.damaged)} damaged shards with {clips} clips are skipped, {share:.2%} of the training audio"

    def _count_skipped(self) -> tuple[int, float]:
        """Return the number of clips that are left out, and their share of the frames."""
        lost = [index for shard, members in self.shards.items() if shard in self.damaged for index in members]
        total = sum(clip.frames for clip in self.clips)
        return len(lost), sum(self.clips[index].frames for index in lost) / total


def open_split(
    data: Path, split: Literal["train", "val"], sample_rate: int, channels: int, max_damaged_share: float = 0.0
) -> PackedSplit:
    """Open the training or validation clips at a sample rate and channel count.

    Args:
        data: the folder that ``codec prepare`` wrote
        split: ``"train"`` or ``"val"``
        sample_rate: in Hz
        channels: number of channels
        max_damaged_share: share of the frames that may be in damaged arrays, whose clips are skipped

    Returns:
        The split, checked against its table.

    Raises:
        SealedError: the split is ``"test"``.
        UserError: there is no such folder, or it was not prepared, or at other rates or channel counts.
    """
    if split not in ("train", "val"):
        raise SealedError(f"the {split} split is sealed; only codec evaluate opens it, and records each opening")
    return _open_any_split(data, split, sample_rate, channels, max_damaged_share)


def list_clips(data: Path, split: Literal["train", "val", "test"], sample_rate: int, channels: int) -> list[Clip]:
    """Read the table of a split, without its audio; this is also allowed for the sealed test split.

    Args:
        data: the folder that ``codec prepare`` wrote
        split: ``"train"``, ``"val"`` or ``"test"``
        sample_rate: in Hz
        channels: number of channels

    Returns:
        The clips, in the order of the table.

    Raises:
        UserError: as :func:`open_split`.
    """
    return _open_any_split(data, split, sample_rate, channels).clips


def _open_any_split(
    data: Path, split: str, sample_rate: int, channels: int, max_damaged_share: float = 0.0
) -> PackedSplit:
    """Open a split without regard to the seal; apart from this module, only codec.dataset.sealed_test may call it."""
    data = Path(data)
    folder = _find_folder(data, sample_rate, channels)
    try:
        header = (folder / "packed.json").read_text(encoding="utf-8")
        with (folder / f"{split}.csv").open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            clips, locations = parse_split(str(folder), header, file, split, (sample_rate, channels))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: damaged ({error}); {REMEDY}") from error
    if not clips:
        raise UserError(
            f"{data}: the {split} split is empty; prepare with more groups, or with other --ratios into a new --out"
        )
    opened = PackedSplit(LocalArrays(folder, channels), clips, locations, sample_rate, channels, max_damaged_share)
    opened.check()
    return opened


def _find_folder(data: Path, sample_rate: int, channels: int) -> Path:
    if not data.is_dir():
        raise UserError(f"{data}: no such data folder; run: codec prepare AUDIO --out {data}")
    folder = packed_folder(data, sample_rate, channels)
    if not (folder / "packed.json").is_file():
        present = sorted(file.parent.name for file in data.glob("packed/*/packed.json"))
        command = f"codec prepare AUDIO --out {data} --rate {sample_rate} --channels {channels}"
        if present:
            raise UserError(f"{data}: holds {', '.join(present)}, not {sample_rate}x{channels}; run: {command}")
        raise UserError(f"{data}: holds no packed audio (never prepared, or interrupted); run: {command}")
    return folder


def parse_split(
    folder: str, header: str, table: Iterable[str], split: str, form: tuple[int, int]
) -> tuple[list[Clip], list[ClipLocation]]:
    """Read the table of a split, and compare it with the header of its folder.

    Args:
        folder: the folder, for error messages
        header: content of ``packed.json``
        table: lines of the table
        split: name of the split
        form: wanted sample rate in Hz, and channels

    Returns:
        The clips, and where each is stored.

    Raises:
        UserError: they are damaged, or do not belong together.
    """
    try:
        values = json.loads(header)
        version, counts = values["version"], dict(values.get("clips", {}))
        if version != PACKED_VERSION:
            raise UserError(
                f"{folder}: written by another version (format {version}, not {PACKED_VERSION}); prepare it again"
            )
        clips, locations = read_table(table, f"{split}.csv")
    except (ValueError, KeyError, TypeError, RecursionError, csv.Error) as error:
        raise UserError(f"{folder}: damaged ({error}); {REMEDY}") from error
    if (stated := counts.get(split, len(clips))) != len(clips):
        raise UserError(f"{folder}/{split}.csv: holds {len(clips)} clips, but {stated} were packed; {REMEDY}")
    if (values.get("sample_rate"), values.get("channels")) != form:
        raise UserError(f"{folder}: its audio does not have the rate and channel count in its name; {REMEDY}")
    return clips, locations


def read_table(lines: Iterable[str], name: str) -> tuple[list[Clip], list[ClipLocation]]:
    """Read the table of a split.

    Args:
        lines: its lines
        name: its name, for error messages

    Returns:
        The clips, and where each is stored.

    Raises:
        ValueError: it is damaged, or names an array outside its folder.
        KeyError: a column is missing.
        csv.Error: it is no table.
    """
    clips, locations = [], []
    for row in csv.DictReader(lines):
        location = ClipLocation(row["shard"], int(row["start"]))
        if not _ARRAY_NAME.fullmatch(location.shard):
            raise ValueError(f"{name} names {location.shard[:80]!r}, which is no array of this folder")
        if location.start < 0 or int(row["frames"]) <= 0:
            raise ValueError(f"{name} holds a clip of {row['frames']} frames from {location.start}")
        locations.append(location)
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
                source=row.get("source") or "",
                licence=row.get("licence") or "",
                language=row.get("language") or "",
                text=row.get("text") or "",
            )
        )
    return clips, locations
