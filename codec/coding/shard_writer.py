"""Writing of shards, see :mod:`codec.coding.shards`.

Arrays are collected in :class:`Members`, a tar file without its end, as they are made. So memory does not grow with a
shard, and the next process can use the arrays of a killed one. Then :func:`write_shard` puts them in order.
"""

import errno
import io
import json
import math
import os
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from codec.bitstream.codes import IntArray
from codec.coding.shards import ARRAY, METADATA, Extent, Sample, read_shard
from codec.runtime.atomic_files import replacing

_COPY_BYTES = 1 << 20


def write_shard(path: Path, samples: Iterable[Sample], changed_ns: int) -> None:
    """Write a shard of samples from other tar files; it appears complete or not at all.

    Args:
        path: the shard
        samples: the samples, in their order
        changed_ns: modification time of the shard, in ns since the epoch

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """
    with replacing(path) as part:
        with part.open("wb") as file:
            for sample in samples:
                for kind, extent in ((ARRAY, sample.array), (METADATA, sample.metadata)):
                    if extent is not None:
                        file.write(_header(f"{sample.key}.{kind}", extent.size))
                        _copy(sample.path, extent, file)
                        file.write(_padding(extent.size))
            file.write(bytes(2 * tarfile.BLOCKSIZE))
            file.write(bytes(-file.tell() % tarfile.RECORDSIZE))
        os.utime(part, ns=(changed_ns, changed_ns))


class Members:
    """A tar file that grows by one sample at a time. A context manager.

    Samples that an earlier process wrote to it are preserved, up to the last complete one. The modification time of the
    file is the time at which it was begun, so that sources that change later are newer than its samples.

    Args:
        path: the file

    Raises:
        OSError: the disk is full, or the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        whole = [sample for sample in read_shard(path).samples if sample.metadata] if path.exists() else []
        self.samples = {sample.key: sample for sample in whole}
        """The samples by their keys."""
        self._file = path.open("r+b" if path.exists() else "w+b")
        self._begun_ns = os.fstat(self._file.fileno()).st_mtime_ns
        try:
            ends = (one.metadata.start + one.metadata.size for one in whole if one.metadata)
            end = max(ends, default=0)
            self._file.truncate(end + -end % tarfile.BLOCKSIZE)
            self._file.seek(0, os.SEEK_END)
            self._keep_time()
        except BaseException:
            self._file.close()
            raise

    def append(self, key: str, array: "ArrayParts", metadata: Mapping[str, Any]) -> int:
        """Write one sample.

        Args:
            key: key of the sample
            array: the array
            metadata: content of its JSON file

        Returns:
            Its size in bytes.

        Raises:
            OSError: the disk is full.
        """
        start = self._file.tell()
        header = _array_header(array)
        size = len(header) + array.nbytes
        self._file.write(_header(f"{key}.{ARRAY}", size) + header)
        first = self._file.tell() - len(header)
        for row in array.rows():
            self._file.write(row)
        self._file.write(_padding(size))
        text = json.dumps(metadata, separators=(",", ":")).encode()
        self._file.write(_header(f"{key}.{METADATA}", len(text)))
        second = self._file.tell()
        self._file.write(text + _padding(len(text)))
        self._keep_time()
        self.samples[key] = Sample(self.path, key, Extent(first, size), Extent(second, len(text)))
        return self._file.tell() - start

    def _keep_time(self) -> None:
        self._file.flush()
        os.utime(self._file.fileno(), ns=(self._begun_ns, self._begun_ns))

    def __enter__(self) -> "Members":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if not self.samples:
            self.path.unlink(missing_ok=True)


@dataclass(frozen=True)
class ArrayParts:
    """An array ``[..., frames]`` in one or more parts along its last axis."""

    parts: list[IntArray]
    """In their order."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the joined array."""
        return (*self.parts[0].shape[:-1], sum(part.shape[-1] for part in self.parts))

    @property
    def nbytes(self) -> int:
        """Size of the joined array in bytes."""
        return sum(part.nbytes for part in self.parts)

    def rows(self) -> Iterator[bytes]:
        """Read the bytes of the joined array.

        Yields:
            Pieces in C order.
        """
        flat = [part.reshape(math.prod(part.shape[:-1]), part.shape[-1]) for part in self.parts]
        for row in range(len(flat[0])):
            for part in flat:
                yield part[row].tobytes()


def _array_header(array: ArrayParts) -> bytes:
    """Return the header that :func:`numpy.save` writes before the numbers."""
    data = io.BytesIO()
    described = {"descr": array.parts[0].dtype.str, "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(data, described)
    return data.getvalue()


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _copy(path: Path, extent: Extent, target: BinaryIO) -> None:
    with path.open("rb") as source:
        source.seek(extent.start)
        left = extent.size
        while left and (data := source.read(min(left, _COPY_BYTES))):
            left -= target.write(data)
    if left:
        raise OSError(errno.EIO, "was truncated while it was copied", str(path))
