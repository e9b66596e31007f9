"""Shards: tar files of arrays with metadata, ``KEY.npy`` and ``KEY.json`` for each, which WebDataset reads.

A key is the path of a source in its tree without its suffix. WebDataset ends the key at the first dot of the name, so
dots in names are written ``%2E``, and ``%`` as ``%25``. The bytes of a shard depend on its contents alone. Reading
trusts nothing: no pickle, no size that the file does not have, and no deeply nested header.

:mod:`codec.coding.shard_writer` writes them.

Source: A. Aizman et al., "High performance I/O for large scale deep learning", 2019.
"""

import contextlib
import io
import json
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from codec.bitstream.codes import IntArray
from codec.errors import UserError

SUFFIX = ".tar"
"""Suffix of a shard."""
ARRAY, METADATA = "npy", "json"
"""Suffixes of the two members of a sample."""
MAX_METADATA_BYTES = 1 << 20
"""Largest metadata that are read."""
_ARRAY_START_BYTES = 10
_MAX_ARRAY_HEADER_BYTES = 1024


@dataclass(frozen=True)
class Extent:
    """The bytes of a member in the tar file."""

    start: int
    size: int


@dataclass(frozen=True)
class Sample:
    """One array with its metadata."""

    path: Path
    """The shard, or the file of a single array."""
    key: str
    """Name of the sample in the shard; empty for the file of a single array."""
    array: Extent | None
    """None if that member is missing."""
    metadata: Extent | None
    """None if that member is missing."""
    bare: bool = False
    """Whether nothing in the file has metadata: these are codes that another program wrote."""

    @property
    def name(self) -> Path:
        """Name of the sample in messages and reports."""
        return self.path / self.key


@dataclass(frozen=True)
class ShardContents:
    """The contents of a shard."""

    samples: list[Sample]
    """In their order; in a damaged shard, only those before the damage."""
    fault: str | None
    """A message about the damage, None if the shard is complete."""


def sample_key(relative: Path) -> str:
    """Encode a path as a key.

    Args:
        relative: path of a file in its tree, without its suffix

    Returns:
        The key.

    >>> sample_key(Path("speaker 1/take 1.5"))
    'speaker 1/take 1%2E5'
    """
    return relative.with_name(relative.name.replace("%", "%25").replace(".", "%2E")).as_posix()


def key_path(key: str) -> Path:
    """Decode a key to a path, as the inverse of :func:`sample_key`.

    Args:
        key: key of a sample

    Returns:
        Path of a file in its tree, without its suffix.

    Raises:
        ValueError: the path would lead out of the tree.
    """
    path = PurePosixPath(key)
    if not key or "\0" in key or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"the key {key!r} leads out of the folder")
    return Path(path.with_name(path.name.replace("%2E", ".").replace("%25", "%")))


def read_shard(path: Path) -> ShardContents:
    """List the contents of a shard by its tar headers.

    Args:
        path: the shard

    Returns:
        Its samples, and whether it is damaged.

    Raises:
        OSError: it cannot be opened.
    """
    found: dict[str, dict[str, Extent]] = {}
    fault = None
    size, end = path.stat().st_size, 0
    try:
        with tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape") as tar:
            for member in tar:
                folder, slash, name = member.name.rpartition("/")
                stem, _, kind = name.partition(".")
                if member.offset_data + member.size > size:
                    raise ValueError(f"{member.name[:40]} is truncated")
                end = member.offset_data + member.size + -member.size % tarfile.BLOCKSIZE
                if member.isfile():
                    key_path(folder + slash + stem)
                    found.setdefault(folder + slash + stem, {})[kind] = Extent(member.offset_data, member.size)
        with path.open("rb") as file:  # tarfile takes a damaged header for the end
            file.seek(end)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise ValueError(f"truncated or damaged at byte {end}")
    except (tarfile.TarError, ValueError, EOFError, RecursionError, MemoryError, OverflowError) as error:
        reason = str(error) or "a header that is nested or larger than memory"
        fault = f"{path}: not a complete shard ({reason}); make it again with codec tokens"
    bare = not any(METADATA in has for has in found.values())
    samples = [Sample(path, key, has.get(ARRAY), has.get(METADATA), bare) for key, has in found.items()]
    if not samples and fault is None:
        fault = f"{path}: holds no tokens; make it again with codec tokens"
    return ShardContents(samples, fault)


def array_file(path: Path) -> Sample:
    """Take a ``.npy`` file as a sample without metadata.

    Args:
        path: the file

    Returns:
        The sample.

    Raises:
        OSError: there is no such file.
    """
    return Sample(path, "", Extent(0, path.stat().st_size), None, bare=True)


def is_shard(path: Path) -> bool:
    """Check whether a file is a shard.

    Args:
        path: the file

    Returns:
        Whether it is a tar file whose first member is that of a shard.
    """
    with (
        contextlib.suppress(OSError, tarfile.TarError, ValueError, EOFError, RecursionError, MemoryError),
        tarfile.open(path, "r:") as tar,
    ):
        first = tar.next()
        return first is not None and first.name.endswith((f".{ARRAY}", f".{METADATA}"))
    return False


def read_metadata(sample: Sample) -> dict[str, Any]:
    """Read the metadata of a sample.

    Args:
        sample: sample of a shard

    Returns:
        The JSON object.

    Raises:
        UserError: there is none, or the shard is damaged.
    """
    try:
        if sample.metadata is None or sample.metadata.size > MAX_METADATA_BYTES:
            raise ValueError(f"no {METADATA} member of at most {MAX_METADATA_BYTES} bytes")
        found = json.loads(_read(sample.path, sample.metadata))
        if not isinstance(found, dict):
            raise ValueError("the metadata is not a JSON object")
        return found
    except (ValueError, RecursionError, MemoryError) as error:
        raise damaged_sample(sample, error) from error


def read_array(sample: Sample) -> IntArray:
    """Read the array of a sample.

    Args:
        sample: sample of a shard

    Returns:
        Integers of any type and shape.

    Raises:
        UserError: there is no such array, or the shard is damaged.
    """
    try:
        if sample.array is None:
            raise ValueError(f"no {ARRAY} member")
        data = io.BytesIO(_read(sample.path, sample.array))
        if (version := np.lib.format.read_magic(data)) != (1, 0):
            raise ValueError(f"version {version} of the {ARRAY} format")
        header = data.getbuffer()[_ARRAY_START_BYTES:][: int.from_bytes(data.getbuffer()[8:10], "little")]
        if len(header) > _MAX_ARRAY_HEADER_BYTES or bytes(header).count(b"(") > 1:  # a parser would recurse
            raise ValueError(f"the header of the {ARRAY} format is too long or nested")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(data)
        if dtype.kind not in "iu":
            raise ValueError(f"{dtype}, not integers")
        values = np.frombuffer(data.getbuffer()[data.tell() :], dtype)
        return values.reshape(shape[::-1]).T if fortran else values.reshape(shape)
    except (ValueError, TypeError, OverflowError, MemoryError, RecursionError) as error:
        raise damaged_sample(sample, error) from error


def damaged_sample(sample: Sample, reason: object) -> UserError:
    """Build the error for a sample that cannot be read.

    Args:
        sample: the sample
        reason: the reason; its first line is shown

    Returns:
        The error to raise.
    """
    line = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
    advice = "" if sample.bare else "; make it again with codec tokens"
    return UserError(f"{sample.name}: cannot be read ({line}){advice}")


def _read(path: Path, extent: Extent) -> bytes:
    if extent.start + extent.size > path.stat().st_size:
        raise ValueError("truncated")
    with path.open("rb") as file:
        file.seek(extent.start)
        return file.read(extent.size)
