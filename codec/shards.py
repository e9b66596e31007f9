"""Arrays with metadata in tar files, as WebDataset reads them: ``KEY.npy`` and ``KEY.json`` for each.

A key is the path of a file in its tree without suffix. WebDataset takes for the key what comes before the first dot of
the name, so dots in names are written ``%2E``, and ``%`` as ``%25``. The bytes depend on the contents alone. Reading
trusts nothing: no pickle, and no size that the file does not have.

Source: A. Aizman et al., "High performance I/O for large scale deep learning", 2019.
"""

import contextlib
import io
import json
import os
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.errors import UserError
from codec.writing import part_of

SUFFIX = ".tar"
ARRAY, METADATA = "npy", "json"
MAX_METADATA_BYTES = 1 << 20

IntArray = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Extent:
    """Where a member's bytes lie in the tar file."""

    start: int
    size: int


@dataclass(frozen=True)
class Sample:
    """What one key holds, in the shard ``path``; an extent is None where that member is missing."""

    path: Path
    key: str
    array: Extent | None
    metadata: Extent | None

    @property
    def name(self) -> Path:
        """What messages and reports call it."""
        return self.path / self.key


@dataclass(frozen=True)
class Contents:
    """The samples of a shard in their order, and what is wrong with the shard, if anything: they end there."""

    samples: list[Sample]
    fault: str | None


def key_of(relative: Path) -> str:
    """The key of a file, from its path in its tree without suffix."""
    return relative.with_name(relative.name.replace("%", "%25").replace(".", "%2E")).as_posix()


def path_of(key: str) -> Path:
    """Inverse of :func:`key_of`. Raises ``ValueError`` for a key that leads out of the tree."""
    path = PurePosixPath(key)
    if not key or "\0" in key or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"the key {key!r} leads out of the folder")
    return Path(path.with_name(path.name.replace("%2E", ".").replace("%25", "%")))


def packed(key: str, array: IntArray, metadata: Mapping[str, Any]) -> bytes:
    """One sample as it stands in a shard."""
    data = io.BytesIO()
    np.save(data, array, allow_pickle=False)
    text = json.dumps(metadata, separators=(",", ":")).encode()
    return _member(f"{key}.{ARRAY}", data.getvalue()) + _member(f"{key}.{METADATA}", text)


def write(path: Path, samples: Iterable[bytes]) -> None:
    """A shard of :func:`packed` samples; appears whole or not at all. Raises ``OSError``."""
    part = part_of(path)
    try:
        with part.open("wb") as file:
            for sample in samples:
                file.write(sample)
            file.write(bytes(2 * tarfile.BLOCKSIZE))
            file.write(bytes(-file.tell() % tarfile.RECORDSIZE))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _member(name: str, data: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    return info.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % tarfile.BLOCKSIZE)


def contents(path: Path) -> Contents:
    """What a shard holds; only the tar headers are read. Raises ``OSError``."""
    found: dict[str, dict[str, Extent]] = {}
    fault = None
    try:
        with tarfile.open(path, "r:", encoding="utf-8", errors="surrogateescape") as tar:
            for member in tar:
                folder, slash, name = member.name.rpartition("/")
                stem, _, kind = name.partition(".")
                if member.isfile():
                    path_of(folder + slash + stem)
                    found.setdefault(folder + slash + stem, {})[kind] = Extent(member.offset_data, member.size)
    except (tarfile.TarError, ValueError, EOFError) as error:
        fault = f"{path}: not a whole shard ({error}); make it again with codec tokens"
    samples = [Sample(path, key, has.get(ARRAY), has.get(METADATA)) for key, has in found.items()]
    if not samples and fault is None:
        fault = f"{path}: holds no tokens; make it again with codec tokens"
    return Contents(samples, fault)


def is_shard(path: Path) -> bool:
    """Whether this is a tar file that begins as a shard does."""
    with contextlib.suppress(OSError, tarfile.TarError, ValueError, EOFError), tarfile.open(path, "r:") as tar:
        first = tar.next()
        return first is not None and first.name.endswith((f".{ARRAY}", f".{METADATA}"))
    return False


def read_metadata(sample: Sample) -> dict[str, Any]:
    """Raises :class:`UserError` where there is none, or what is there is not a JSON object."""
    try:
        if sample.metadata is None or sample.metadata.size > MAX_METADATA_BYTES:
            raise ValueError(f"no {METADATA} member of at most {MAX_METADATA_BYTES} bytes")
        found = json.loads(_read(sample.path, sample.metadata))
        if not isinstance(found, dict):
            raise ValueError("the metadata is not a JSON object")
        return found
    except (ValueError, RecursionError) as error:
        raise damaged(sample, error) from error


def read_array(sample: Sample) -> IntArray:
    """Integers of any shape. Raises :class:`UserError` for anything else."""
    try:
        if sample.array is None:
            raise ValueError(f"no {ARRAY} member")
        data = io.BytesIO(_read(sample.path, sample.array))
        if (version := np.lib.format.read_magic(data)) != (1, 0):
            raise ValueError(f"version {version} of the {ARRAY} format")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(data)
        if dtype.kind not in "iu" or fortran:
            raise ValueError(f"{dtype} in {'Fortran' if fortran else 'C'} order, not integers in C order")
        return np.frombuffer(data.getbuffer()[data.tell() :], dtype).reshape(shape)
    except (ValueError, TypeError, OverflowError) as error:
        raise damaged(sample, error) from error


def damaged(sample: Sample, reason: object) -> UserError:
    return UserError(f"{sample.name}: cannot be read ({str(reason).splitlines()[0]}); make it again with codec tokens")


def _read(path: Path, extent: Extent) -> bytes:
    with path.open("rb") as file:
        file.seek(extent.start)
        data = file.read(extent.size)
    if len(data) < extent.size:
        raise ValueError("cut off")
    return data
