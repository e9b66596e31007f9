"""Where data is: a local folder, or a URL of any file system that fsspec knows, such as S3 or HTTP.

Training and search read the splits ``train`` and ``val`` (:func:`open_split`). The test split is sealed: its audio is
read only through :mod:`codec.dataset.sealed_test`. The table of any split, without its audio, may be read at any time
(:func:`list_clips`).
"""

import os
from pathlib import Path
from typing import Literal

from codec.dataset import packed, streamed
from codec.dataset.clips import ClipTable
from codec.dataset.ledger import SealedError
from codec.dataset.packed_split import PackedSplit

DataLocation = Path | str
"""A local folder, or the URL of a folder."""


def parse_location(text: str) -> DataLocation:
    """Tell URLs and local folders apart.

    Args:
        text: as the user wrote it

    Returns:
        A URL as it is, without a slash at its end; a path for everything else.

    >>> parse_location("s3://bucket/data/"), parse_location("data").name
    ('s3://bucket/data', 'data')
    """
    return text.rstrip("/") if "://" in text else Path(text)


def absolute_location(data: DataLocation) -> str:
    """Return what names the data from any working directory.

    Args:
        data: the folder or URL

    Returns:
        An absolute path, or the URL.
    """
    return data if isinstance(data, str) else str(data.resolve())


def open_split(
    data: DataLocation,
    split: Literal["train", "val"],
    sample_rate: int,
    channels: int,
    max_damaged_share: float = 0.0,
) -> PackedSplit:
    """Open the training or validation clips, wherever they are.

    A local folder of ``codec prepare`` is mapped into memory. At a URL, or if a local folder holds ``train/`` and
    ``val/`` with WebDataset's tars or litdata's chunks, shards pass through the cache
    (:mod:`codec.dataset.streamed`).

    Args:
        data: the folder or URL
        split: ``"train"`` or ``"val"``
        sample_rate: in Hz
        channels: number of channels
        max_damaged_share: share of the frames that may be in damaged arrays, whose clips are skipped

    Returns:
        The split.

    Raises:
        SealedError: the split is ``"test"``.
        UserError: there is no such data, it does not fit, or it cannot be read.
    """
    if split not in ("train", "val"):
        raise SealedError(f"the {split} split is sealed; only codec evaluate opens it, and records each opening")
    return _open_any_split(data, split, sample_rate, channels, max_damaged_share)


def list_clips(
    data: DataLocation, split: Literal["train", "val", "test"], sample_rate: int, channels: int
) -> ClipTable:
    """Read the table of a split, without its audio; this is also allowed for the sealed test split.

    Args:
        data: the folder or URL
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
    data: DataLocation, split: str, sample_rate: int, channels: int, max_damaged_share: float = 0.0
) -> PackedSplit:
    """Open a split without regard to the seal; only codec.dataset.sealed_test may call it."""
    if isinstance(data, str):
        return streamed.open_split(data, split, sample_rate, channels, max_damaged_share)
    if not (data / "packed").is_dir() and streamed.holds_shards(data):
        return streamed.open_split(os.path.abspath(data), split, sample_rate, channels, max_damaged_share)
    return packed._open_any_split(data, split, sample_rate, channels, max_damaged_share)
