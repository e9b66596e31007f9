"""Writes streams of the live profile; docs/bitstream.md."""

from collections.abc import Mapping
from typing import BinaryIO

from codec.bitstream.codes import IntArray
from codec.bitstream.file_start import metadata_blocks, start_bytes
from codec.bitstream.header import Header
from codec.bitstream.live import FixedWidthCoder, end_bytes, frame_bytes


class LiveWriter:
    """Writer of a live stream, frame by frame.

    Args:
        output: binary file, flushed after each frame
        header: header of the live profile
        coder: coder of the frames
        tags: tags of the source

    Attributes:
        frames: latent frames written so far
        bytes: bytes written so far
        payload_bytes: bytes of bodies written so far
        blocks_bytes: bytes of tags

    Raises:
        UserError: The tags are not text, or too long.
        OSError: ``output`` was closed.
    """

    def __init__(self, output: BinaryIO, header: Header, coder: FixedWidthCoder, tags: Mapping[str, str] | None = None):
        self._output, self._coder = output, coder
        self.frames = self.bytes = self.payload_bytes = 0
        blocks = metadata_blocks(tags or {})
        self.blocks_bytes = len(blocks)
        self._send(start_bytes(header, blocks))

    def write(self, codes: IntArray) -> None:
        """Write codes.

        Args:
            codes: any number of frames ``[channels, codebooks, frames]``
        """
        if codes.shape[2]:
            self._send(self._framed(codes))

    def finish(self, codes: IntArray, samples: int) -> None:
        """Write the last codes and the end.

        The end is also sent before the last codes, so that a receiver that plays them at once knows where to stop.

        Args:
            codes: the last codes ``[channels, codebooks, frames]``, which may be none
            samples: samples of the source per channel
        """
        closing = end_bytes(samples, self.frames + codes.shape[2])
        self._send((closing if codes.shape[2] else b"") + self._framed(codes) + closing)

    def _framed(self, codes: IntArray) -> bytes:
        bodies = [self._coder.pack(codes[..., index]) for index in range(codes.shape[2])]
        framed = b"".join(frame_bytes(number, body) for number, body in enumerate(bodies, self.frames))
        self.frames += len(bodies)
        self.payload_bytes += sum(map(len, bodies))
        return framed

    def _send(self, data: bytes) -> None:
        self._output.write(data)
        self._output.flush()
        self.bytes += len(data)
