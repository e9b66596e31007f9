"""A part of a file, as a file of its own, for the libraries that decode."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import BinaryIO


class FileView:
    """Bytes ``start`` to ``end`` of an open file, of which some may be replaced.

    Args:
        file: open for reading; the view moves its position and closes it with itself.
        start: first byte of the view.
        end: the byte after its last one.
        replaced: bytes that stand in place of those at these offsets into the view.
    """

    def __init__(
        self, file: BinaryIO, start: int, end: int, replaced: Mapping[int, bytes] = MappingProxyType({})
    ) -> None:
        self._file, self._start, self._size = file, start, end - start
        self._replaced = replaced
        self._at = 0

    def read(self, count: int = -1) -> bytes:
        """Return ``count`` bytes, or those that are left."""
        left = max(0, self._size - self._at)
        count = left if count < 0 else min(count, left)
        if not count:
            return b""  # damaged files make decoders seek to where no file can end, which the real one would refuse
        self._file.seek(self._start + self._at)
        data = self._file.read(count)
        for offset, new in self._replaced.items():
            first, stop = offset - self._at, offset + len(new) - self._at
            if stop > 0 and first < len(data):
                whole = bytearray(data)
                kept = new[max(0, -first) : len(new) - max(0, stop - len(data))]
                whole[max(0, first) : max(0, first) + len(kept)] = kept
                data = bytes(whole)
        self._at += len(data)
        return data

    def readinto(self, buffer: bytearray) -> int:
        """Fill ``buffer`` as far as there are bytes, and return their number."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to ``offset`` and return the new position."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def close(self) -> None:
        """Close the file itself."""
        self._file.close()
