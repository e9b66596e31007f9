"""The header of version 3 as bytes; docs/bitstream.md."""

from collections.abc import Callable
from dataclasses import replace

from codec.bitstream.blocks import MAX_BLOCKS_BYTES
from codec.bitstream.header import ADVICE_ON_DAMAGE, FINGERPRINT_DIGITS, FORMAT_VERSION, Header
from codec.bitstream.varint import read_varint, varint_bytes

MAGIC = b"\x89NAC"
START_BYTES = len(MAGIC) + 1
"""Bytes that give the version."""
MIN_HEADER_BYTES, MAX_HEADER_BYTES = 15, 52
"""Size of a header without its checksum."""
RATES_HZ = (
    8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000, 128000, 176400, 192000,
)  # fmt: skip
"""Sample rates that have a number of four bits, from 1 on."""

_SHORT, _ARCHIVE, _LIVE = 0, 1, 2
_VARIABLE, _BLOCKS = 0x40, 0x80
_RATE_STEP = 50
_COUNT_BYTES = 6
"""Bytes of the number of samples, which in the archive profile is known only after the packets."""


class HeaderError(ValueError):
    """Bytes that are no header: too few, or values that no writer gives."""


def header_bytes(header: Header, blocks: int = 0) -> bytes:
    """Serialise a header, without its checksum.

    Args:
        header: possible values, see :meth:`codec.bitstream.header.Header.fault`
        blocks: bytes of the blocks behind it; none in the short profile

    Returns:
        The header. In the archive profile its size does not depend on the number of samples.
    """
    profile = _SHORT if header.short else _LIVE if header.live else _ARCHIVE
    flags = profile << 4 | _VARIABLE * header.variable | _BLOCKS * bool(blocks)
    rate, model_rate = _rate_number(header.sample_rate), _rate_number(header.model_rate)
    channels = header.channels if header.channels < 16 else 0
    hop = header.latent_hop if header.latent_hop < 1 << 12 else 0
    data = MAGIC + bytes([FORMAT_VERSION | flags]) + bytes.fromhex(header.fingerprint[:FINGERPRINT_DIGITS])
    data += bytes([rate | channels << 4]) + (model_rate | hop << 4).to_bytes(2, "little")
    data += bytes([header.codebooks, header.bits_per_code])
    explicit = [
        (rate, header.sample_rate),
        (channels, header.channels),
        (model_rate, header.model_rate),
        (hop, header.latent_hop),
    ]
    data += b"".join(varint_bytes(value) for number, value in explicit if not number)
    steps, rest = divmod(header.target_bps, _RATE_STEP)
    data += varint_bytes(2 * header.target_bps + 1 if rest else 2 * steps)
    if blocks:
        data += varint_bytes(blocks)
    if not header.live:
        more = bool(header.samples) and header.frames != header.model_samples // header.latent_hop + 1
        data += varint_bytes(2 * header.samples + more, 1 if header.short else _COUNT_BYTES)
    if profile == _ARCHIVE:
        data += bytes([header.packet_frames])
    return data


def parse_header(read: Callable[[int], bytes]) -> tuple[Header, int]:
    """Parse a header; the inverse of :func:`header_bytes`.

    Args:
        read: function that returns the requested number of bytes, or fewer at the end; it begins with the header

    Returns:
        The header, whose values are within their limits, and the size of the blocks behind it.

    Raises:
        HeaderError: No header of version 3.
    """

    def take(count: int) -> bytes:
        data = read(count)
        if len(data) < count:
            raise HeaderError(f"truncated within the header; {ADVICE_ON_DAMAGE}")
        return data

    def take_varint() -> int:
        value = read_varint(take)
        if value is None:
            raise HeaderError("not a valid .nac file: a number in the header is too long")
        return value

    start = take(START_BYTES)
    flags, profile = start[-1], start[-1] >> 4 & 3
    if start[:-1] != MAGIC or flags & 15 != FORMAT_VERSION:
        raise HeaderError("not a .nac file of version 3")
    if profile > _LIVE:
        raise HeaderError(f"uses features unknown to this program (profile {profile}); update it")
    fingerprint, codes, packed = take(FINGERPRINT_DIGITS // 2).hex(), take(1)[0], int.from_bytes(take(2), "little")
    codebooks, bits = take(2)
    rate = RATES_HZ[(codes & 15) - 1] if codes & 15 else take_varint()
    channels = codes >> 4 or take_varint()
    model_rate = RATES_HZ[(packed & 15) - 1] if packed & 15 else take_varint()
    hop = packed >> 4 or take_varint()
    target = take_varint()
    blocks = take_varint() if flags & _BLOCKS else 0
    count, more = (0, 0) if profile == _LIVE else divmod(take_varint(), 2)
    header = Header(
        fingerprint, rate, channels, model_rate, hop, codebooks, bits,
        packet_frames=1 if profile != _ARCHIVE else take(1)[0],
        variable=bool(flags & _VARIABLE),
        target_bps=target // 2 if target % 2 else target // 2 * _RATE_STEP,
        live=profile == _LIVE, short=profile == _SHORT, samples=count,
    )  # fmt: skip
    if not (rate and hop):
        raise HeaderError("not a valid .nac file: a rate or hop of 0")
    frames = header.model_samples // hop + 1 + more if count or more else 0
    header = replace(header, frames=frames, packet_frames=max(1, frames) if header.short else header.packet_frames)
    if fault := header.fault():
        raise HeaderError(f"not a valid .nac file: {fault}; encode the source again")
    if blocks > MAX_BLOCKS_BYTES or (blocks and header.short):
        raise HeaderError(f"not a valid .nac file: {blocks} bytes of tags and pictures")
    return header, blocks


def _rate_number(rate_hz: int) -> int:
    return RATES_HZ.index(rate_hz) + 1 if rate_hz in RATES_HZ else 0
