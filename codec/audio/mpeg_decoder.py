"""Decoding of MPEG audio (MP3, MP2, MP1): our own parser of frames, FFmpeg's decoders; libsndfile for free format.

A file is a sequence of sections, more than one if files were joined. Each may begin with a header of its encoder with
the delay at the start and the padding at the end, in samples. A count in that header is not trusted: if more frames
follow, they are read; if there are fewer, the file is truncated.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from codec.audio.backend import AudioDamage, StreamInfo
from codec.audio.chunks import read_at
from codec.audio.ffmpeg_packets import FormatGuard, PacketDecoder, create_decoder_context
from codec.audio.file_format import FileFormat
from codec.audio.libsndfile_decoder import LibsndfileDecoder
from codec.audio.mpeg_frames import (
    DECODERS,
    FRAME_HEADER_BYTES,
    MAX_FRAME_BYTES,
    EncoderHeader,
    FrameHeader,
    find_first_frame,
    find_free_format_length,
    parse_encoder_header,
    parse_frame_header,
)
from codec.audio.tag_positions import skip_tag
from codec.audio.trimming import Trimmer
from codec.audio.waveform import FloatArray

_PIECE_BYTES = 1 << 18
_TOGETHER = 16
"""Frames that are decoded in one call."""
_SUBTYPES = {1: "MPEG_LAYER_I", 2: "MPEG_LAYER_II", 3: "MPEG_LAYER_III"}


class MpegDecoder:
    """An MPEG audio file, see :class:`codec.audio.backend.Decoder`.

    Args:
        path: the file
        file_format: its detected format
    """

    def __init__(self, path: Path, file_format: FileFormat) -> None:
        self._path, self._file_format = path, file_format
        self._file = path.open("rb")
        self._free_bytes = 0
        head = read_at(self._file, file_format.start, FRAME_HEADER_BYTES)
        first = parse_frame_header(head)
        assert first is not None, "found by detect_format"
        if not first.size:
            self._free_bytes = find_free_format_length(self._file, file_format.start, file_format.end)
        frame = read_at(self._file, file_format.start, self._length(first))
        stated = parse_encoder_header(frame, first)
        frames = None
        if stated and stated.frames and (stated.bytes is None or file_format.start + stated.bytes == file_format.end):
            frames = max(0, stated.frames * first.samples - stated.delay - stated.padding)
        format = "MP3" if first.layer == 3 else f"MP{first.layer}"
        self.stream_info = StreamInfo(format, _SUBTYPES[first.layer], first.sample_rate, first.channels, frames)

    def _length(self, header: FrameHeader) -> int:
        return header.size or self._free_bytes + header.padding

    def _frames(self) -> Iterator[tuple[FrameHeader, bytes]]:
        """Yield all frames in order, without the tags between and after them."""
        at, end = self._file_format.start, self._file_format.end
        data, base = b"", at
        while at < end:
            offset = at - base
            if offset + MAX_FRAME_BYTES > len(data) and base + len(data) < end:
                data, base, offset = read_at(self._file, at, min(_PIECE_BYTES, end - at)), at, 0
            header = parse_frame_header(data[offset : offset + FRAME_HEADER_BYTES])
            length = (header.size or self._length(header)) if header else 0
            if header and length:
                at += length
                if at > end:
                    return  # the last frame is incomplete, so that no decoder can decode it
                yield header, data[offset : offset + length]
            else:
                at, data = self._after_tags(at), b""

    def _after_tags(self, at: int) -> int:
        """Return the position of the next frame after tags and zeros from ``at`` on, the end if none follows."""
        end = self._file_format.end
        behind = skip_tag(self._file, at, end)
        if behind > at:
            return behind
        found = find_first_frame(self._file, at, end)
        stray = found if found is not None else end
        if found is not None and read_at(self._file, at, stray - at).strip(b"\0"):
            raise AudioDamage(f"damaged: no MPEG frame at byte {at}, but others from byte {found} on")
        return stray

    def blocks(self) -> Iterator[FloatArray]:
        """Decode the file, see :class:`codec.audio.backend.Decoder`.

        Yields:
            float32 ``[channels, n]``.

        Raises:
            AudioDamage: the file is truncated or damaged.
            UnsupportedAudio: something in it cannot be read.
        """
        if self._free_bytes:
            yield from self._free_format()
            return
        shape, section = FormatGuard(), None
        for header, frame in self._frames():
            stated = parse_encoder_header(frame, header)
            if section is None or stated is not None or header.format != section.format:
                if section is not None:
                    yield from section.end()
                shape.check(header.sample_rate, header.channels)
                section = _Section(header, stated, shape)
            if stated is None:
                yield from section.push(frame)
        if section is not None:
            yield from section.end()

    def _free_format(self) -> Iterator[FloatArray]:
        """Decode free format by libsndfile, as FFmpeg refuses it; it may stop early, so that samples are counted."""
        start = end = self._file_format.start
        wanted, stated = 0, None
        for header, frame in self._frames():
            end += len(frame)
            if stated is None and (stated := parse_encoder_header(frame, header)):
                continue
            wanted += header.samples
        if stated and stated.frames and wanted < (stated.frames - 1) * header.samples:
            raise AudioDamage(f"truncated: only {wanted} of {stated.frames * header.samples} samples are present")
        wanted = self.stream_info.frames or wanted
        # libmpg123 gets a range without gaps, about which it would print warnings.
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


class _Section:
    """Consecutive frames that one encoder wrote."""

    def __init__(self, header: FrameHeader, stated: EncoderHeader | None, shape: FormatGuard) -> None:
        self.format = header.format
        self._stated, self._shape = stated, shape
        self._frames = 0
        self._waiting: list[bytes] = []
        self._trim = Trimmer(stated.delay if stated else 0, stated.padding if stated else 0)
        self._decoder = PacketDecoder(create_decoder_context(*DECODERS[header.layer]))

    def push(self, frame: bytes) -> list[FloatArray]:
        """Take a frame, and return the blocks that are certainly not padding."""
        self._frames += 1
        self._waiting.append(frame)
        return self._decode() if len(self._waiting) == _TOGETHER else []

    def _decode(self) -> list[FloatArray]:
        """Decode the waiting frames together: FFmpeg takes several in one packet, which is faster."""
        if not self._waiting:
            return []
        try:
            decoded = self._decoder.decode(b"".join(self._waiting))
        except AudioDamage as error:
            raise AudioDamage(f"damaged after {self._shape.samples / self.format[1]:.2f} s ({error})") from error
        if len(decoded) != len(self._waiting):
            raise AudioDamage(f"damaged after {self._shape.samples / self.format[1]:.2f} s")
        self._waiting = []
        return self._trim.push(self._shape.to_samples(*decoded))

    def end(self) -> list[FloatArray]:
        """Return the remaining blocks."""
        rest, stated = self._decode(), self._stated
        if stated is None:
            return rest
        # Some encoders count their own header as a frame.
        if stated.frames and self._frames < stated.frames - 1:
            raise AudioDamage(f"truncated: only {self._frames} of {stated.frames} MPEG frames are present")
        exact = stated.frames is None or self._frames <= stated.frames
        return rest + self._trim.end(stated.padding if exact else 0)
