"""A part of a file as a file object of its own, for libraries that decode."""

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import BinaryIO


class FileView:
    """A read-only view of a range of an open file, in which some bytes may be replaced.

    Args:
        file: open for reading. The view moves its position, and closes it together with itself.
        start: first byte of the view
        end: byte after its last one
        patches: bytes that replace those of the file, by their offset into the view

    >>> import io
    >>> FileView(io.BytesIO(b"....RIFX...."), 4, 12, {3: b"F"}).read(6)
    b'RIFF..'
    """

    def __init__(
        self, file: BinaryIO, start: int, end: int, patches: Mapping[int, bytes] = MappingProxyType({})
    ) -> None:
        self._file, self._start, self._size = file, start, end - start
        self._patches = patches
        self._at = 0

    def read(self, count: int = -1) -> bytes:
        """Read from the current position.

        Args:
            count: number of bytes; -1 for all remaining ones

        Returns:
            ``count`` bytes, or fewer at the end.
        """
        left = max(0, self._size - self._at)
        count = left if count < 0 else min(count, left)
        if not count:
            return b""  # damaged files make decoders seek beyond any possible file size, which a file refuses
        self._file.seek(self._start + self._at)
        data = self._file.read(count)
        for offset, new in self._patches.items():
            first, stop = offset - self._at, offset + len(new) - self._at
            if stop > 0 and first < len(data):
                whole = bytearray(data)
                kept = new[max(0, -first) : len(new) - max(0, stop - len(data))]
                whole[max(0, first) : max(0, first) + len(kept)] = kept
                data = bytes(whole)
        self._at += len(data)
        return data

    def readinto(self, buffer: bytearray) -> int:
        """Read into a buffer.

        Args:
            buffer: filled from its start

        Returns:
            Number of bytes read.
        """
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position.

        Args:
            offset: offset relative to ``whence``
            whence: ``os.SEEK_SET``, ``os.SEEK_CUR`` or ``os.SEEK_END``

        Returns:
            The new position, which may lie beyond the end.
        """
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """Return the position.

        Returns:
            Offset into the view.
        """
        return self._at

    def close(self) -> None:
        """Close the file itself."""
        self._file.close()
