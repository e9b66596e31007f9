"""MPEG audio frames, layers I to III: their headers, and the headers that encoders put in the first frame.

FFmpeg's demuxer loses the stated number of samples if tags follow, and fails at the seams of joined files; libsndfile
stops at an estimate of the end. Here every frame is found by the length of the frame before it.

Sources: ISO/IEC 11172-3 and 13818-3, MPEG 2.5 as LAME writes it; the Xing header as LAME extends it (LAME tag,
revision 1), the VBRI header of Fraunhofer IIS.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO

from codec.audio.chunks import read_at

FRAME_HEADER_BYTES = 4
"""Length of the header of a frame."""
MAX_FRAME_BYTES = 8192
"""Upper limit on the length of a frame. The longest has 5760 bytes (MPEG 2.5, layer II, 8 kHz)."""
DECODER_DELAY = 529
"""Delay of a layer III decoder in samples, which the delay stated in the LAME tag does not include."""
DECODERS = {1: ("mp1float", "mp1"), 2: ("mp2float", "mp2"), 3: ("mp3float", "mp3")}
"""FFmpeg's decoders of each layer, in order of preference."""
SEARCHED_BYTES = 1 << 16
"""Bytes in which :func:`find_first_frame` searches."""

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
_ENCODER_MARK = re.compile(rb"(?:..)?(?:Xing|Info)", re.DOTALL)
_CHAIN = 4
"""Number of consecutive frames that prove MPEG audio."""


@dataclass(frozen=True)
class FrameHeader:
    """The header of a frame."""

    layer: int
    """Layer, 1 to 3."""
    sample_rate: int
    """Sample rate in Hz."""
    channels: int
    """Number of channels, 1 or 2."""
    samples: int
    """Samples per channel in the frame."""
    size: int
    """Length of the frame in bytes with its header, 0 in free format."""
    padding: int
    """Bytes by which the frame is longer than others at this bit rate."""
    side_bytes: int
    """Offset of an encoder's header in a frame of layer III."""

    @property
    def format(self) -> tuple[int, int, int]:
        """Layer, sample rate and number of channels, which are the same in all frames of a stream."""
        return self.layer, self.sample_rate, self.channels


@lru_cache(4096)
def parse_frame_header(head: bytes) -> FrameHeader | None:
    """Parse the header of a frame.

    Args:
        head: the first bytes of the frame, at least 4

    Returns:
        The header; None if these bytes are not a valid one.

    >>> header = parse_frame_header(bytes.fromhex("fffb9064"))  # MPEG 1, layer III, 128 kbit/s, 44.1 kHz
    >>> header.layer, header.sample_rate, header.channels, header.samples, header.size
    (3, 44100, 2, 1152, 417)
    """
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


def find_free_format_length(file: BinaryIO, start: int, end: int) -> int:
    """Find the length of frames in free format, whose headers do not give it.

    Args:
        file: open for reading; its position is moved
        start: first byte of a frame
        end: byte after the last frame

    Returns:
        Bytes of a frame without padding; 0 unless two frames of the same format follow at that distance.
    """
    data = read_at(file, start, min(end - start, 3 * MAX_FRAME_BYTES))
    first = parse_frame_header(data[:FRAME_HEADER_BYTES])
    if first is None:
        return 0
    for length in range(FRAME_HEADER_BYTES + 8, min(MAX_FRAME_BYTES, len(data) - FRAME_HEADER_BYTES)):
        second = parse_frame_header(data[length : length + FRAME_HEADER_BYTES])
        if second is None or second.size or second.format != first.format:
            continue
        base = length - first.padding
        third = parse_frame_header(data[length + base + second.padding :][:FRAME_HEADER_BYTES])
        if third is not None and not third.size and third.format == first.format:
            return base
    return 0


def _chain(data: bytes, at: int, whole: bool) -> bool:
    """Return whether consecutive frames of one format begin at ``at``: several, or fewer that end with the file."""
    first = parse_frame_header(data[at : at + FRAME_HEADER_BYTES])
    if first is None or not first.size:
        return False
    for number in range(_CHAIN):
        here = parse_frame_header(data[at : at + FRAME_HEADER_BYTES])
        if here is None or here.format != first.format or not here.size:
            left = len(data) - at
            return whole and ((number > 0 and left == 0) or (number > 1 and left < FRAME_HEADER_BYTES))
        at += here.size
    return True


def find_first_frame(file: BinaryIO, start: int, end: int) -> int | None:
    """Find the first of several consecutive frames, within 64 kB.

    A recording of a stream may begin in the middle of a frame, and tags may be followed by stray bytes.

    Args:
        file: open for reading; its position is moved
        start: byte at which the search begins
        end: byte after the last one of the stream

    Returns:
        Position of the frame; None if there is none.
    """
    length = min(end - start, SEARCHED_BYTES + (_CHAIN + 1) * MAX_FRAME_BYTES)
    data = read_at(file, start, length)
    first = parse_frame_header(data[:FRAME_HEADER_BYTES])
    if first is not None and parse_encoder_header(data[: first.size], first) is not None:
        return start  # the frames after it may be missing
    at = data.find(b"\xff")
    while 0 <= at < SEARCHED_BYTES:
        if _chain(data, at, whole=start + length == end):
            return start + at
        at = data.find(b"\xff", at + 1)
    if (
        length >= FRAME_HEADER_BYTES
        and parse_frame_header(data[:FRAME_HEADER_BYTES])
        and find_free_format_length(file, start, end)
    ):
        return start
    return None


@dataclass(frozen=True)
class EncoderHeader:
    """The header that an encoder puts in the first frame instead of samples (Xing, Info or VBRI)."""

    frames: int | None
    """Number of frames that follow; None if it is unknown."""
    bytes: int | None
    """Bytes of the stream with this frame; None if it is unknown."""
    delay: int = 0
    """Samples to drop at the start, including the decoder's delay."""
    padding: int = 0
    """Samples to drop at the end, without those that the decoder's delay holds back."""


def parse_encoder_header(frame: bytes, header: FrameHeader) -> EncoderHeader | None:
    """Parse the header that an encoder puts in the first frame.

    Args:
        frame: the whole frame
        header: its frame header

    Returns:
        The encoder's header; None if the frame holds samples instead.
    """
    at = header.side_bytes
    if header.layer != 3 or not (_ENCODER_MARK.match(frame, at - 2) or frame[36:40] == b"VBRI"):
        return None
    if frame[36:40] == b"VBRI":
        return EncoderHeader(int.from_bytes(frame[50:54], "big") or None, int.from_bytes(frame[46:50], "big") or None)
    if frame[at : at + 4] not in (b"Xing", b"Info"):
        at -= 2  # some encoders do not count the bytes of the checksum
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    at += 8
    frames = size = None
    if flags & 1:
        frames, at = int.from_bytes(frame[at : at + 4], "big") or None, at + 4
    if flags & 2:
        size, at = int.from_bytes(frame[at : at + 4], "big") or None, at + 4
    at += 100 * bool(flags & 4) + 4 * bool(flags & 8)
    delay = padding = 0
    if len(frame) >= at + 24 and all(0x20 <= byte < 0x7F for byte in frame[at : at + 4]):
        delays = int.from_bytes(frame[at + 21 : at + 24], "big")
        delay, padding = (delays >> 12) + DECODER_DELAY, max(0, (delays & 0xFFF) - DECODER_DELAY)
    return EncoderHeader(frames, size, delay, padding)
