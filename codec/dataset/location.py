"""Where training data is: a local folder, or a URL of any file system that fsspec knows, such as S3 or HTTP."""

import os
from pathlib import Path
from typing import Literal

from codec.dataset import packed, streamed
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
    if isinstance(data, str):
        return streamed.open_split(data, split, sample_rate, channels, max_damaged_share)
    if not (data / "packed").is_dir() and streamed.holds_shards(data):
        return streamed.open_split(os.path.abspath(data), split, sample_rate, channels, max_damaged_share)
    return packed.open_split(data, split, sample_rate, channels, max_damaged_share)
