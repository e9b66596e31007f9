"""Read MPEG audio (MP3, MP2, MP1): frames found here, decoded by FFmpeg, in free format by libsndfile.

The stream is a sequence of pieces, as where files were joined: each may begin with an encoder's own header that says
how many samples are its delay and how many pad the end. A stated count is a claim: where more frames follow, they are
read, and where fewer do, the file is cut off.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from codec.audio.backend import AudioDamage, StreamInfo
from codec.audio.chunks import read_at
from codec.audio.ffmpeg_packets import PacketDecoder, SameShape, decoder_context
from codec.audio.file_format import FileFormat
from codec.audio.libsndfile_decoder import LibsndfileDecoder
from codec.audio.mpeg_frames import (
    FRAME_HEADER_BYTES,
    MAX_FRAME_BYTES,
    EncoderHeader,
    FrameHeader,
    encoder_header,
    first_frame,
    frame_header,
    free_format_bytes,
)
from codec.audio.tag_positions import skip_tag
from codec.audio.trimming import Trimmer
from codec.audio.waveform import FloatArray

_PIECE_BYTES = 1 << 18
_TOGETHER = 16
"""Frames that are decoded at once."""
_SUBTYPES = {1: "MPEG_LAYER_I", 2: "MPEG_LAYER_II", 3: "MPEG_LAYER_III"}
_DECODERS = {1: ("mp1float", "mp1"), 2: ("mp2float", "mp2"), 3: ("mp3float", "mp3")}


class MpegDecoder:
    """An MPEG audio file, see the module."""

    def __init__(self, path: Path, file_format: FileFormat) -> None:
        self._path, self._file_format = path, file_format
        self._file = path.open("rb")
        self._free_bytes = 0
        head = read_at(self._file, file_format.start, FRAME_HEADER_BYTES)
        first = frame_header(head)
        assert first is not None, "found by detect_format"
        if not first.size:
            self._free_bytes = free_format_bytes(self._file, file_format.start, file_format.end)
        frame = read_at(self._file, file_format.start, self._length(first))
        stated = encoder_header(frame, first)
        frames = None
        if stated and stated.frames and (stated.bytes is None or file_format.start + stated.bytes == file_format.end):
            frames = max(0, stated.frames * first.samples - stated.skipped - stated.padding)
        format = "MP3" if first.layer == 3 else f"MP{first.layer}"
        self.stream_info = StreamInfo(format, _SUBTYPES[first.layer], first.sample_rate, first.channels, frames)

    def _length(self, header: FrameHeader) -> int:
        return header.size or self._free_bytes + header.padding

    def _frames(self) -> Iterator[tuple[FrameHeader, bytes]]:
        """Yield all frames in order. Tags between them, and what follows the last, are passed over."""
        at, end = self._file_format.start, self._file_format.end
        data, base = b"", at
        while at < end:
            offset = at - base
            if offset + MAX_FRAME_BYTES > len(data) and base + len(data) < end:
                data, base, offset = read_at(self._file, at, min(_PIECE_BYTES, end - at)), at, 0
            header = frame_header(data[offset : offset + FRAME_HEADER_BYTES])
            length = (header.size or self._length(header)) if header else 0
            if header and length:
                at += length
                if at > end:
                    return  # the last frame is not there in full; no decoder makes anything of it
                yield header, data[offset : offset + length]
            else:
                at, data = self._behind_tags(at), b""

    def _behind_tags(self, at: int) -> int:
        """Where the next frame begins after tags and zeros from ``at`` on, the end where none follows."""
        end = self._file_format.end
        behind = skip_tag(self._file, at, end)
        if behind > at:
            return behind
        found = first_frame(self._file, at, end)
        stray = found if found is not None else end
        if found is not None and read_at(self._file, at, stray - at).strip(b"\0"):
            raise AudioDamage(f"damaged: no MPEG frame at byte {at}, but others from byte {found} on")
        return stray

    def blocks(self) -> Iterator[FloatArray]:
        """See :class:`codec.audio.backend.Decoder`."""
        if self._free_bytes:
            yield from self._free_format()
            return
        shape, piece = SameShape(), None
        for header, frame in self._frames():
            stated = encoder_header(frame, header)
            if piece is None or stated is not None or header.format != piece.format:
                if piece is not None:
                    yield from piece.end()
                shape.check(header.sample_rate, header.channels)
                piece = _Piece(header, stated, shape)
            if stated is None:
                yield from piece.push(frame)
        if piece is not None:
            yield from piece.end()

    def _free_format(self) -> Iterator[FloatArray]:
        """FFmpeg refuses free format. libsndfile stops at an estimate, so that the count is compared."""
        start = end = self._file_format.start
        wanted, stated = 0, None
        for header, frame in self._frames():
            end += len(frame)
            if stated is None and (stated := encoder_header(frame, header)):
                continue
            wanted += header.samples
        if stated and stated.frames and wanted < (stated.frames - 1) * header.samples:
            raise AudioDamage(
                f"cut off: only {wanted} of the announced {stated.frames * header.samples} samples are there"
            )
        wanted = self.stream_info.frames or wanted
        # What libmpg123 is given has no gaps: it would write about them to the terminal.
        decoder = LibsndfileDecoder(self._path, replace(self._file_format, start=start, end=end))
        done = 0
        try:
            for block in decoder.blocks():
                done += block.shape[1]
                yield block
        finally:
            decoder.close()
        if done < wanted:
            raise AudioDamage(f"only {done} of {wanted} samples could be read")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Piece:
    """Frames that one encoder wrote."""

    def __init__(self, header: FrameHeader, stated: EncoderHeader | None, shape: SameShape) -> None:
        self.format = header.format
        self._stated, self._shape = stated, shape
        self._frames = 0
        self._waiting: list[bytes] = []
        self._trim = Trimmer(stated.skipped if stated else 0, stated.padding if stated else 0)
        self._decoder = PacketDecoder(decoder_context(*_DECODERS[header.layer]))

    def push(self, frame: bytes) -> list[FloatArray]:
        """Take a frame, and return what is certain to be heard."""
        self._frames += 1
        self._waiting.append(frame)
        return self._decode() if len(self._waiting) == _TOGETHER else []

    def _decode(self) -> list[FloatArray]:
        """Decode the frames that wait: FFmpeg takes several in one packet, which is quicker than one by one."""
        if not self._waiting:
            return []
        try:
            decoded = self._decoder.decode(b"".join(self._waiting))
        except AudioDamage as error:
            raise AudioDamage(f"damaged after {self._shape.samples / self.format[1]:.2f} s ({error})") from error
        if len(decoded) != len(self._waiting):
            raise AudioDamage(f"damaged after {self._shape.samples / self.format[1]:.2f} s")
        self._waiting = []
        return self._trim.push(self._shape.pass_on(*decoded))

    def end(self) -> list[FloatArray]:
        """Return the rest."""
        rest, stated = self._decode(), self._stated
        if stated is None:
            return rest
        # Some encoders count their own header as a frame.
        if stated.frames and self._frames < stated.frames - 1:
            raise AudioDamage(f"cut off: only {self._frames} of the announced {stated.frames} MPEG frames are there")
        exact = stated.frames is None or self._frames <= stated.frames
        return rest + self._trim.end(stated.padding if exact else 0)
