"""Packed audio: the clips that ``codec prepare`` wrote in a local folder.

Training and search read the splits ``train`` and ``val`` (:func:`open_split`). The test split is sealed: its audio is
read only through :mod:`codec.dataset.sealed_test`. The table of any split, without its audio, may be read at any time
(:func:`list_clips`).
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

from codec.dataset.arrays import REMEDY, LocalArrays
from codec.dataset.clips import Clip, ClipLocation, ClipTable
from codec.dataset.ledger import SealedError
from codec.dataset.packed_split import PackedSplit
from codec.errors import UserError

PACKED_VERSION = 1
"""Version of the packed format, in ``packed.json``."""
_LONGEST = 2**60
"""More samples than any array has."""
_ARRAY_NAME = re.compile(r"\w[\w.-]*\.npy")
"""File names of arrays; none contains a path."""


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


def list_clips(data: Path, split: Literal["train", "val", "test"], sample_rate: int, channels: int) -> ClipTable:
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
            clips = parse_split(str(folder), header, file, split, (sample_rate, channels))
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: damaged ({error}); {REMEDY}") from error
    if not clips:
        raise UserError(
            f"{data}: the {split} split is empty; prepare with more groups, or with other --ratios into a new --out"
        )
    opened = PackedSplit(LocalArrays(folder, channels), clips, sample_rate, channels, max_damaged_share)
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


def parse_split(folder: str, header: str, table: Iterable[str], split: str, form: tuple[int, int]) -> ClipTable:
    """Read the table of a split, and compare it with the header of its folder.

    Args:
        folder: the folder, for error messages
        header: content of ``packed.json``
        table: lines of the table
        split: name of the split
        form: wanted sample rate in Hz, and channels

    Returns:
        The clips.

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
        clips = ClipTable(read_table(table, f"{split}.csv"))
    except (ValueError, KeyError, TypeError, RecursionError, csv.Error) as error:
        raise UserError(f"{folder}: damaged ({error}); {REMEDY}") from error
    if (stated := counts.get(split, len(clips))) != len(clips):
        raise UserError(f"{folder}/{split}.csv: holds {len(clips)} clips, but {stated} were packed; {REMEDY}")
    if (values.get("sample_rate"), values.get("channels")) != form:
        raise UserError(f"{folder}: its audio does not have the rate and channel count in its name; {REMEDY}")
    return clips


def read_table(lines: Iterable[str], name: str) -> Iterator[tuple[Clip, ClipLocation]]:
    """Read the table of a split.

    Args:
        lines: its lines
        name: its name, for error messages

    Yields:
        Each clip, and where it is stored.

    Raises:
        ValueError: it is damaged, or names an array outside its folder.
        KeyError: a column is missing.
        csv.Error: it is no table.
    """
    for row in csv.DictReader(lines):
        location = ClipLocation(row["shard"], int(row["start"]))
        if not _ARRAY_NAME.fullmatch(location.shard):
            raise ValueError(f"{name} names {location.shard[:80]!r}, which is no array of this folder")
        if not 0 <= location.start <= _LONGEST or not 0 < int(row["frames"]) <= _LONGEST:
            raise ValueError(f"{name} holds a clip of {row['frames']} frames from {location.start}")
        yield (
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
            ),
            location,
        )
