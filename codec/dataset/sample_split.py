"""A split of shards of encoded audio, in the layouts of WebDataset and litdata: found, listed and opened."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from codec.dataset.cached_arrays import CachedArrays, array_sizes
from codec.dataset.clips import Clip, ClipLocation, ClipTable
from codec.dataset.decoded_shards import SampleSource, list_shard
from codec.dataset.packed_split import PackedSplit
from codec.dataset.remote_files import MissingFileError, RemoteFolder
from codec.dataset.shard_cache import ShardCache
from codec.dataset.shard_samples import ChunkLayout, parse_chunk_index
from codec.errors import UserError
from codec.runtime.process_pool import PoolOptions, map_in_processes

_QUESTIONS = 16
"""Questions that a server is asked at a time."""


def open_samples(
    folder: RemoteFolder, cache: ShardCache, split: str, form: tuple[int, int], max_damaged_share: float
) -> PackedSplit:
    """Open a split of tars or chunks of encoded audio, whose clips are listed first.

    Args:
        folder: the folder of the data
        cache: where decoded shards and their lists are kept
        split: ``"train"`` or ``"val"``
        form: wanted sample rate in Hz, and channels
        max_damaged_share: share of the shards, of the samples and of the frames that may be damaged

    Returns:
        The split.

    Raises:
        UserError: there are no shards, they cannot be read, or too many are damaged.
    """
    shards, layout = _find_shards(folder, split)
    with ThreadPoolExecutor(_QUESTIONS) as threads:
        identities = dict(zip(shards, threads.map(folder.identity, shards)))
    source = SampleSource(folder, *form, identities, cache, layout)
    damaged = _list_clips(source, shards, split)
    left_out: dict[str, str] = {}
    clips = ClipTable(_read_lists(source, shards, damaged, left_out))
    _require_most(folder.url, split, len(damaged) / len(shards), damaged, max_damaged_share)
    _require_most(folder.url, split, len(left_out) / max(1, len(left_out) + len(clips)), left_out, max_damaged_share)
    if not clips:
        raise UserError(f"{folder.url}: the {split} split has no clip")
    source = replace(source, sizes=array_sizes(clips, form[1]))
    opened = PackedSplit(CachedArrays(source, cache, form[1]), clips, *form, max_damaged_share)
    if lost := damaged | left_out:
        first = next(iter(lost.items()))
        opened.left_out = (
            f"{split}: {len(damaged)} damaged shards and {len(left_out)} samples are left out, such as {first[0]}:"
            f" {first[1]}"
        )
    return opened


def _read_lists(
    source: SampleSource, shards: Sequence[str], damaged: dict[str, str], left_out: dict[str, str]
) -> Iterator[tuple[Clip, ClipLocation]]:
    """Yield the clips of shards with their locations. Enter what has no clip into ``left_out``, with the reason, and
    shards into ``damaged`` whose list is damaged and that cannot be listed again.
    """
    for shard in shards:
        if shard in damaged:
            continue
        found = source.read_list(shard)
        if found is None:
            if reason := list_shard((source, shard)):
                damaged[shard] = reason
                continue
            if (found := source.read_list(shard)) is None:
                raise UserError(f"{source.list_path(shard)}: cannot be read; delete the folder {source.cache.folder}")
        left_out |= {f"{shard}/{key}": reason for key, reason in found.left_out.items()}
        start = 0
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


def _list_clips(source: SampleSource, shards: Sequence[str], split: str) -> dict[str, str]:
    """Decode shards that were never decoded; return those that are damaged, each with the reason."""
    todo = [shard for shard in shards if not source.list_path(shard).is_file()]
    options = PoolOptions(os.cpu_count() or 1, f"listing {split}", unit="shard", inline_first=True)
    # each process gets what identifies its shard, not all
    items = [(replace(source, identities={shard: source.identities[shard]}), shard) for shard in todo]
    results: Iterator[str] = map_in_processes(list_shard, items, options)
    return {shard: reason for shard, reason in zip(todo, results, strict=True) if reason}
