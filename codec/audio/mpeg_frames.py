"""MPEG audio frames, layers I to III: their headers, and the headers that encoders put in the first frame.

FFmpeg's own demuxer loses the count of samples where tags follow, and stumbles where files were joined; libsndfile's
stops where it estimates the end. Here every frame is found by the length that the one before states.

Sources: ISO/IEC 11172-3 and 13818-3, MPEG 2.5 as LAME writes it; the Xing header as LAME extends it (LAME tag,
revision 1), the VBRI header of Fraunhofer IIS.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from codec.audio.chunks import read_at

FRAME_HEADER_BYTES = 4
MAX_FRAME_BYTES = 8192
"""More than any frame has: 5760 bytes in MPEG 2.5 of layer II at 8 kHz, and free-format frames are shorter."""
DECODER_DELAY = 529
"""Samples by which a layer III decoder is late: the encoder's delay in the LAME tag does not count them."""

_RATES = (44100, 48000, 32000)
_KBPS_1 = (
    (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
)
_KBPS_2 = (
    (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)
_SEARCHED_BYTES = 1 << 16
_ENCODER_MARK = re.compile(rb"(?:..)?(?:Xing|Info)", re.DOTALL)
_CHAIN = 4
"""Frames that must follow each other before something is taken for MPEG audio."""


@dataclass(frozen=True)
class FrameHeader:
    """What the 4 bytes before a frame say. ``size`` in bytes with the header, 0 in free format."""

    layer: int
    sample_rate: int
    channels: int
    samples: int
    size: int
    padding: int
    side_bytes: int
    """From the start of the frame to where an encoder's own header stands in layer III."""

    @property
    def format(self) -> tuple[int, int, int]:
        """What stays the same from frame to frame."""
        return self.layer, self.sample_rate, self.channels


@lru_cache(4096)
def frame_header(head: bytes) -> FrameHeader | None:
    """Read the 4 bytes of a header, None if they are none."""
    if len(head) < FRAME_HEADER_BYTES or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer, protected = head[1] >> 3 & 3, 4 - (head[1] >> 1 & 3), not head[1] & 1
    rate, index, mono = head[2] >> 2 & 3, head[2] >> 4, head[3] >> 6 == 3
    if version == 1 or layer == 4 or rate == 3 or index == 15:
        return None
    half = version != 3
    hz = _RATES[rate] >> (0 if version == 3 else 1 if version == 2 else 2)
    samples = (384, 1152, 576 if half else 1152)[layer - 1]
    unit = 4 if layer == 1 else 1
    padding = (head[2] >> 1 & 1) * unit
    kbps = (_KBPS_2 if half else _KBPS_1)[layer - 1][index - 1] if index else 0
    size = samples // 8 // unit * 1000 * kbps // hz * unit + padding if kbps else 0
    side = (
        FRAME_HEADER_BYTES + 2 * protected + (9 if mono else 17)
        if half
        else FRAME_HEADER_BYTES + 2 * protected + (17 if mono else 32)
    )
    return FrameHeader(layer, hz, 1 if mono else 2, samples, size, padding, side)


def free_format_bytes(file: BinaryIO, start: int, end: int) -> int:
    """Return the length of a frame in free format without padding, 0 if no frame like it follows twice."""
    data = read_at(file, start, min(end - start, 3 * MAX_FRAME_BYTES))
    first = frame_header(data[:FRAME_HEADER_BYTES])
    if first is None:
        return 0
    for length in range(FRAME_HEADER_BYTES + 8, min(MAX_FRAME_BYTES, len(data) - FRAME_HEADER_BYTES)):
        second = frame_header(data[length : length + FRAME_HEADER_BYTES])
        if second is None or second.size or second.format != first.format:
            continue
        base = length - first.padding
        third = frame_header(data[length + base + second.padding :][:FRAME_HEADER_BYTES])
        if third is not None and not third.size and third.format == first.format:
            return base
    return 0


def _chain(data: bytes, at: int, whole: bool) -> bool:
    """Return whether frames of one format follow each other from ``at``: several, or fewer that end with the file."""
    first = frame_header(data[at : at + FRAME_HEADER_BYTES])
    if first is None or not first.size:
        return False
    for number in range(_CHAIN):
        here = frame_header(data[at : at + FRAME_HEADER_BYTES])
        if here is None or here.format != first.format or not here.size:
            left = len(data) - at
            return whole and ((number > 0 and left == 0) or (number > 1 and left < FRAME_HEADER_BYTES))
        at += here.size
    return True


def first_frame(file: BinaryIO, start: int, end: int) -> int | None:
    """Return where the first of several frames begins, within 64 kB from ``start``; None if there is none.

    A recording of a stream may begin within a frame, and tags may be followed by stray bytes.
    """
    length = min(end - start, _SEARCHED_BYTES + (_CHAIN + 1) * MAX_FRAME_BYTES)
    data = read_at(file, start, length)
    first = frame_header(data[:FRAME_HEADER_BYTES])
    if first is not None and encoder_header(data[: first.size], first) is not None:
        return start  # what should follow it may be missing
    at = data.find(b"\xff")
    while 0 <= at < _SEARCHED_BYTES:
        if _chain(data, at, whole=start + length == end):
            return start + at
        at = data.find(b"\xff", at + 1)
    if length >= FRAME_HEADER_BYTES and frame_header(data[:FRAME_HEADER_BYTES]) and free_format_bytes(file, start, end):
        return start
    return None


@dataclass(frozen=True)
class EncoderHeader:
    """What an encoder put in the place of the first frame's samples (Xing, Info or VBRI).

    Args:
        frames: that follow, None where it does not say.
        bytes: of the stream with this frame, None where it does not say.
        skipped: samples to be dropped at the start, with the decoder's delay.
        padding: samples to be dropped at the end, with those that the decoder's delay holds back.
    """

    frames: int | None
    bytes: int | None
    skipped: int = 0
    padding: int = 0


def encoder_header(frame: bytes, header: FrameHeader) -> EncoderHeader | None:
    """Read the header that an encoder put in ``frame``, None if it holds samples instead."""
    at = header.side_bytes
    if header.layer != 3 or not (_ENCODER_MARK.match(frame, at - 2) or frame[36:40] == b"VBRI"):
        return None
    if frame[36:40] == b"VBRI":
        return EncoderHeader(int.from_bytes(frame[50:54], "big") or None, int.from_bytes(frame[46:50], "big") or None)
    if frame[at : at + 4] not in (b"Xing", b"Info"):
        at -= 2  # some leave out the checksum's bytes
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    at += 8
    frames = size = None
    if flags & 1:
        frames, at = int.from_bytes(frame[at : at + 4], "big") or None, at + 4
    if flags & 2:
        size, at = int.from_bytes(frame[at : at + 4], "big") or None, at + 4
    at += 100 * bool(flags & 4) + 4 * bool(flags & 8)
    skipped = padding = 0
    if len(frame) >= at + 24 and all(0x20 <= byte < 0x7F for byte in frame[at : at + 4]):
        delays = int.from_bytes(frame[at + 21 : at + 24], "big")
        skipped, padding = (delays >> 12) + DECODER_DELAY, max(0, (delays & 0xFFF) - DECODER_DELAY)
    return EncoderHeader(frames, size, skipped, padding)
