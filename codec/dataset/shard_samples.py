"""Samples of WebDataset's tars and litdata's chunks: encoded audio with a few fields, read in order.

Both layouts are read directly, since only these few lines of them are needed. Nothing is unpickled, and no name in a
shard is used as a path.

Sources: WebDataset's file format, https://webdataset.github.io/webdataset (members of one sample share their name up to
the first dot); litdata's ``streaming/writer.py``, where a chunk is the number of items, their offsets, and for each
item the sizes of its fields and their bytes; or, if all fields are plain, an Arrow file with a row for each item.
"""

import json
import struct
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from codec.audio.suffixes import AUDIO_SUFFIXES
from codec.dataset.arrays import DamagedShardError
from codec.errors import UserError
from codec.runtime.extras import require_installed

_MAX_SAMPLE_BYTES = 2 << 30
_ENCODED = ("bytes", "audio", "file")
"""Formats of litdata for the bytes of a file."""
_TRAILER = struct.Struct("<I8s")
"""Length of the Arrow file before it, and a mark."""
_ARROW_MARK = b"LDARW01\0"
_NUMBERS = {"int": "<q", "float": "<d"}


@dataclass
class ShardSample:
    """A sample of a shard."""

    key: str
    """Its name in the shard."""
    audio: bytes = b""
    """The bytes of an audio file; empty if it has none."""
    suffix: str = ""
    """Suffix of the audio file, in lower case; empty if unknown."""
    fields: dict[str, str] = field(default_factory=dict)
    """Other fields, as text."""


@dataclass(frozen=True)
class ChunkLayout:
    """Fields of the items of litdata's chunks."""

    names: Sequence[str]
    formats: Sequence[str]


def read_tar(path: Path) -> Iterator[ShardSample]:
    """Read the samples of a tar of WebDataset.

    Args:
        path: the tar, without compression

    Yields:
        The samples in order, each with the audio of its first audio file, and the fields of its ``.json`` and
        ``.txt``.

    Raises:
        DamagedShardError: it is no tar, or cut off.
    """
    sample: ShardSample | None = None
    try:
        _require_end(path)
        with tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape") as tar:
            for member in tar:
                if not member.isfile() or member.size > _MAX_SAMPLE_BYTES:
                    continue
                folder, _, name = member.name.rpartition("/")
                stem, _, ending = name.partition(".")
                key = f"{folder}/{stem}" if folder else stem
                if sample is None or sample.key != key:
                    if sample is not None:
                        yield sample
                    sample = ShardSample(key)
                content = tar.extractfile(member)
                if content is not None:
                    _add_member(sample, ending.lower(), content.read())
    except (tarfile.TarError, OSError, EOFError, ValueError, OverflowError) as error:
        raise DamagedShardError(f"no intact tar ({error})") from error
    if sample is not None:
        yield sample


def _require_end(path: Path) -> None:
    """Require the two blocks of zeros at the end of a tar; a tar that was cut off between members lacks them."""
    with path.open("rb") as file:
        file.seek(-2 * tarfile.BLOCKSIZE, 2)
        if any(file.read()):
            raise ValueError("cut off: it has no end mark")


def _add_member(sample: ShardSample, ending: str, content: bytes) -> None:
    suffix = PurePosixPath(f"a.{ending}").suffix
    if suffix in AUDIO_SUFFIXES:
        if not sample.audio:
            sample.audio, sample.suffix = content, suffix
    elif ending == "txt":
        sample.fields["text"] = content.decode("utf-8", "replace")
    elif ending == "json":
        try:
            values = json.loads(content)
        except (ValueError, RecursionError):
            return
        if isinstance(values, dict):
            sample.fields |= {
                name: str(value) for name, value in values.items() if isinstance(value, str | int | float)
            }


def parse_chunk_index(text: bytes) -> tuple[list[str], ChunkLayout]:
    """Read litdata's ``index.json``.

    Args:
        text: its content

    Returns:
        Names of the chunks, and the layout of their items.

    Raises:
        UserError: it is damaged, names files outside its folder, or describes items that cannot be read here.
    """
    try:
        index = json.loads(text)
        names = [str(chunk["filename"]) for chunk in index["chunks"]]
        config: Mapping[str, Any] = index["config"]
        formats = [str(name).partition(":")[0] for name in config["data_format"]]
        fields = _field_names(config["data_spec"], len(formats))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"index.json: not of litdata, or damaged ({error!r})") from error
    for name in names:
        if not name or name.startswith(".") or "/" in name or "\\" in name:
            raise UserError(f"index.json: names {name[:80]!r}, which is no file of this folder")
    if config.get("compression") or config.get("encryption"):
        raise UserError("index.json: its chunks are compressed or encrypted; write them without")
    if (count := sum(name in _ENCODED for name in formats)) != 1:
        raise UserError(
            f"index.json: its items must have one field with the bytes of an audio file, and have {count}"
            f" ({', '.join(formats)[:100]}); write them so, or run codec prepare on the files"
        )
    return names, ChunkLayout(fields, formats)


def _field_names(spec: str | None, count: int) -> list[str]:
    """Return the keys of the items, which PyTorch's description of a tree states; numbers if they are no dict."""
    tree = json.loads(spec)[1] if spec else {}
    if tree.get("type") == "builtins.dict":
        names = [str(name) for name in json.loads(tree["context"])]
        if len(names) != count:
            raise ValueError("items with nested fields")
        return names
    return [str(number) for number in range(count)]


def read_chunk(path: Path, layout: ChunkLayout) -> Iterator[ShardSample]:
    """Read the items of a chunk of litdata.

    Args:
        path: the chunk
        layout: fields of its items

    Yields:
        The items in order, with the fields that are texts or numbers.

    Raises:
        DamagedShardError: it is no chunk, or cut off.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            file.seek(max(0, size - _TRAILER.size))
            length, mark = _TRAILER.unpack(file.read())
            if mark == _ARROW_MARK:
                yield from _read_rows(path, size - _TRAILER.size - length, length, layout)
                return
            file.seek(0)
            (items,) = struct.unpack("<I", file.read(4))
            if 4 * (items + 2) > size:
                raise ValueError(f"states {items} items")
            offsets = struct.unpack(f"<{items + 1}I", file.read(4 * (items + 1)))
            if list(offsets) != sorted(offsets) or offsets[-1] > size or offsets[0] == offsets[-1]:
                raise ValueError("cut off, or of another layout")
            for number, (start, end) in enumerate(pairwise(offsets)):
                file.seek(start)
                yield _parse_item(f"{number}", file.read(end - start), layout)
    except (struct.error, OSError, ValueError) as error:
        raise DamagedShardError(f"no intact chunk of litdata ({error})") from error


def _read_rows(path: Path, start: int, length: int, layout: ChunkLayout) -> Iterator[ShardSample]:
    """Read the rows of a chunk that holds an Arrow file, as litdata writes items of plain fields."""
    require_installed("litdata's chunks of this kind", "litdata")
    import pyarrow

    try:
        with pyarrow.memory_map(str(path)) as file:
            rows = pyarrow.ipc.open_file(pyarrow.py_buffer(file.read_buffer()[start : start + length]))
            for number in range(rows.num_record_batches):
                for index, row in enumerate(rows.get_batch(number).to_pylist()):
                    sample = ShardSample(f"{number}-{index}")
                    for name, kind in zip(layout.names, layout.formats):
                        if kind in _ENCODED:
                            sample.audio = row[name]
                        elif row.get(name) is not None and kind in ("str", "text", *_NUMBERS):
                            sample.fields[name] = str(row[name])
                    yield sample
    except (pyarrow.ArrowException, KeyError, IndexError) as error:
        raise ValueError(f"Arrow: {error}") from error


def _parse_item(key: str, item: bytes, layout: ChunkLayout) -> ShardSample:
    count = len(layout.formats)
    sizes = struct.unpack(f"<{count}I", item[: 4 * count])
    if 4 * count + sum(sizes) > len(item):
        raise ValueError(f"item {key} is shorter than its fields")
    sample, at = ShardSample(key), 4 * count
    for name, kind, size in zip(layout.names, layout.formats, sizes):
        content, at = item[at : at + size], at + size
        if kind in _ENCODED:
            sample.audio = content
        elif kind in ("str", "text"):
            sample.fields[name] = content.decode("utf-8", "replace")
        elif kind in _NUMBERS:
            sample.fields[name] = str(struct.unpack(_NUMBERS[kind], content)[0])
    return sample
