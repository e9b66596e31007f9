"""Writes ``.nac`` files: header, tags and pictures, packets and index; or, if short, one packet; docs/bitstream.md."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType

import numpy as np

from codec.audio.pictures import Picture
from codec.bitstream.codes import IntArray, PacketEncoder
from codec.bitstream.file_start import metadata_blocks, short_file_bytes, start_bytes
from codec.bitstream.framing import frame_packet, short_frames
from codec.bitstream.header import FORMAT_VERSION, MAX_SAMPLES, Header
from codec.bitstream.index import PACKETS_PER_ENTRY, index_bytes, index_size
from codec.errors import UserError
from codec.runtime.atomic_files import temporary_path


class PacketWriter:
    """Writer of a ``.nac`` file, packet by packet: a context manager, completed by :meth:`finish`.

    Until then everything is in a temporary file next to ``path``; leaving the context without :meth:`finish` removes
    it. Without tags and pictures, and with at most :func:`codec.bitstream.framing.short_frames` frames, the file has
    the short profile.

    Args:
        path: file to write; an existing one is replaced at the end
        header: header of the archive profile, in which the counts of samples and frames are filled in at the end
        coder: coder of the packets
        tags: tags of the source
        pictures: pictures of the source that fit, see :func:`codec.bitstream.pictures.fit_pictures`

    Attributes:
        path: the file
        header: header without counts
        coder: coder of the packets
        file_bytes: bytes written so far
        payload_bytes: bytes of payloads written so far
        blocks_bytes: bytes of tags and pictures

    Raises:
        UserError: The format cannot hold a value, or the file cannot be written.
    """

    def __init__(
        self,
        path: Path,
        header: Header,
        coder: PacketEncoder,
        tags: Mapping[str, str] | None = None,
        pictures: Sequence[Picture] = (),
    ):
        self.path, self.coder = Path(path), coder
        self.header = replace(header, samples=0, frames=0, short=False, version=FORMAT_VERSION)
        if fault := self.header.fault():
            raise UserError(f"{path}: the .nac format cannot hold this: {fault}")
        self._blocks = metadata_blocks(tags or {}, pictures)
        self.blocks_bytes = len(self._blocks)
        self._short_frames = 0 if self._blocks else short_frames(header.packet_frames)
        self._waiting: IntArray = np.zeros((header.channels, header.codebooks, 0), np.int64)
        self._frames = self._packets = self.file_bytes = self.payload_bytes = 0
        self._groups: list[int] = []
        self._finished = False
        self._part = temporary_path(self.path)
        with self._explained():
            self._file = self._part.open("wb")

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
        if not self._finished:
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
        if not self.file_bytes and self._waiting.shape[2] <= self._short_frames:
            return
        self._put_whole_packets()

    def _put_whole_packets(self) -> None:
        """Write the start of the file, if it was not written yet, and the packets that are complete."""
        if not self.file_bytes:
            self._put(start_bytes(self.header, self._blocks))
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
        frames = self._frames + self._waiting.shape[2]
        header = replace(self.header, samples=samples, frames=frames)
        if not self.file_bytes and not self._blocks:
            header = replace(header, short=True, packet_frames=max(1, frames))
        if fault := header.fault() or (f"{samples} samples" if samples > MAX_SAMPLES else None):
            raise ValueError(fault)
        if header.short:
            self._put_short_file(header)
        else:
            self._put_rest(header)
        with self._explained():
            self._file.close()
            os.replace(self._part, self.path)
        self._finished = True
        return header

    def _put_short_file(self, header: Header) -> None:
        payload = self.coder.encode(self._waiting, header.variable) if header.frames else b""
        self.payload_bytes = len(payload)
        self._put(short_file_bytes(header, payload))

    def _put_rest(self, header: Header) -> None:
        """Write the remaining codes, the index, and the header once more."""
        self._put_whole_packets()
        if self._waiting.shape[2]:
            self._put_packet(self._waiting)
        if index_size(self._packets):
            self._put(index_bytes(self._groups))
        with self._explained():
            self._file.seek(0)
            self._file.write(start_bytes(header, self._blocks))

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
