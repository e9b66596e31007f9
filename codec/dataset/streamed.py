"""Data that is streamed: shards at a URL, or in a local folder in the layout of another tool, through the cache.

Three layouts are recognised:

- the folder of ``codec prepare``, copied to the URL as it is;
- WebDataset: ``train/*.tar`` and ``val/*.tar`` with encoded audio;
- litdata: ``train/index.json`` and ``val/index.json`` with chunks of encoded audio.

Shards of the last two are decoded when they enter the cache. Their clips are listed once, which reads every shard; the
lists stay in the cache. Who divides such data decides what is held out: ``test/`` is never opened here, and a group or
a clip in both ``train`` and ``val`` is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from codec.dataset.array_checksums import SHARDS_FILE, file_sha256, parse_shards
from codec.dataset.arrays import DamagedShardError
from codec.dataset.cached_arrays import CachedArrays, array_sizes
from codec.dataset.packed import packed_folder, parse_split
from codec.dataset.packed_split import PackedSplit
from codec.dataset.remote_files import MissingFileError, RemoteFolder
from codec.dataset.sample_split import open_samples
from codec.dataset.shard_cache import default_cache
from codec.errors import UserError


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
        return open_samples(folder, cache, split, form, max_damaged_share)
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
    source = _PackedSource(RemoteFolder(f"{url}/{base}"), checksums, array_sizes(clips, channels))
    arrays = CachedArrays(source, cache, channels)
    return PackedSplit(arrays, clips, sample_rate, channels, max_damaged_share)


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
