"""Writes ``.nac`` files of the archive profile: header, packets, index; docs/bitstream.md."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np

from codec.bitstream.codes import IntArray, PacketCoder
from codec.bitstream.framing import frame_packet
from codec.bitstream.header import Header
from codec.bitstream.index import PACKETS_PER_ENTRY, index_bytes
from codec.errors import UserError
from codec.runtime.atomic_files import temporary_path


class PacketWriter:
    """Writer of a ``.nac`` file, packet by packet: a context manager, completed by :meth:`finish`.

    Until then everything is in a temporary file next to ``path``; leaving the context without :meth:`finish` removes
    it.

    Args:
        path: file to write; an existing one is replaced at the end
        header: header, in which the counts of samples and frames are filled in at the end
        coder: coder of the packets
        tags: tags of the source

    Attributes:
        path: the file
        header: header without counts
        coder: coder of the packets
        tags: tags of the source
        file_bytes: bytes written so far
        payload_bytes: bytes of payloads written so far

    Raises:
        UserError: The format cannot hold a value, or the file cannot be written.
    """

    def __init__(self, path: Path, header: Header, coder: PacketCoder, tags: Mapping[str, str] | None = None):
        self.path, self.header, self.coder = Path(path), replace(header, samples=0, frames=0), coder
        self.tags = dict(tags or {})
        if fault := self.header.fault():
            raise UserError(f"{path}: the .nac format cannot hold this: {fault}")
        start = self.header.to_bytes(self.tags)
        self._waiting: IntArray = np.zeros((header.channels, header.codebooks, 0), np.int64)
        self._frames = self._packets = self.file_bytes = self.payload_bytes = 0
        self._groups: list[int] = []
        self._part = temporary_path(self.path)
        with self._explained():
            self._file = self._part.open("wb")
        try:
            self._put(start)
        except BaseException:
            self._discard()
            raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from error

    def __enter__(self) -> "PacketWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard()

    def write(self, codes: IntArray) -> None:
        """Append codes.

        Args:
            codes: any number of frames ``[channels, codebooks, frames]``

        Raises:
            ValueError: The codes do not fit the header or the tables.
            UserError: The file cannot be written.
        """
        if codes.shape[:2] != (self.header.channels, self.header.codebooks):
            raise ValueError(f"codes {codes.shape} do not fit {self.header}")
        self._waiting = np.concatenate([self._waiting, codes], axis=2)
        size = self.header.packet_frames
        whole = self._waiting.shape[2] // size * size
        for start in range(0, whole, size):
            self._put_packet(self._waiting[..., start : start + size])
        self._waiting = self._waiting[..., whole:]

    def finish(self, samples: int) -> Header:
        """Write the last packet, the index and the complete header, and give the file its name.

        Args:
            samples: samples of the source per channel

        Returns:
            The complete header.

        Raises:
            ValueError: The codes do not cover this number of samples.
            UserError: The file cannot be written.
        """
        if self._waiting.shape[2]:
            self._put_packet(self._waiting)
        header = replace(self.header, samples=samples, frames=self._frames)
        if fault := header.fault():
            raise ValueError(fault)
        self._put(index_bytes(self._groups))
        with self._explained():
            self._file.seek(0)
            self._file.write(header.to_bytes(self.tags))
            self._file.close()
            os.replace(self._part, self.path)
        return header

    def _put_packet(self, codes: IntArray) -> None:
        payload = self.coder.encode(codes, self.header.variable)
        packet = frame_packet(self._packets, payload)
        if self._packets % PACKETS_PER_ENTRY == 0:
            self._groups.append(0)
        self._groups[-1] += len(packet)
        self._put(packet)
        self._packets += 1
        self._frames += codes.shape[2]
        self.payload_bytes += len(payload)

    def _put(self, data: bytes) -> None:
        with self._explained():
            self._file.write(data)
        self.file_bytes += len(data)

    def _discard(self) -> None:
        with contextlib.suppress(OSError):  # closing repeats a failed write
            self._file.close()
        self._part.unlink(missing_ok=True)
