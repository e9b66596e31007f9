"""What stands before the packets of a ``.nac`` file or stream: numbers of fixed size, then tags; docs/bitstream.md."""

import functools
import json
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from codec.audio.waveform import MAX_CHANNELS, SAMPLE_RATES
from codec.errors import UserError

MAGIC = b"\x89NAC"
FORMAT_VERSION = 2
MAX_BITS = 24
MAX_TAG_BYTES = 16384
ADVICE_ON_DAMAGE = "copy the file or encode the source again"

_VARIABLE, _LIVE = 1, 2
_FIELDS = struct.Struct("<4sBBH8sIIIQQBBBB")
_FURTHER = struct.Struct("<HI")
_CRC = struct.Struct("<I")
START_BYTES = _FIELDS.size
"""From so many bytes on, :func:`header_bytes` knows how many there are."""
HEADER_BYTES = START_BYTES + _FURTHER.size + _CRC.size
"""Of a header without tags."""
_FIRST_VERSION_BYTES = START_BYTES + _CRC.size


WORD_BYTES = 4
"""A payload of the archive profile is a sequence of words of this size."""


def max_payload_bytes(symbols: int) -> int:
    """Return the size that no payload exceeds, whatever the tables.

    Args:
        symbols: Codes, and in variable files numbers of codes, of the packet.

    Returns:
        Bytes: a word for each symbol, and two at the end.

    >>> max_payload_bytes(3)
    20
    """
    return WORD_BYTES * (symbols + 2)


@dataclass(frozen=True)
class Header:
    """What a file says of itself. ``samples`` (per channel) and ``sample_rate`` are the source's.

    ``samples`` and ``frames`` are 0 at the start of a live stream, whose last packet says what they are.
    """

    fingerprint: str
    """Of the model that decodes the codes, 16 hexadecimal digits; see
    :func:`codec.pretrained.checkpoint.fingerprint`."""
    sample_rate: int
    channels: int
    model_rate: int
    """Sample rate in Hz at which the model works."""
    latent_hop: int
    """Samples at the model's rate per latent frame."""
    codebooks: int
    bits_per_code: int
    """Which codes of fixed width take."""
    packet_frames: int
    """Latent frames per packet; the last packet holds what is left."""
    receptive_frames: int = 0
    """Latent frames from which a sample is decoded: so far reaches damage, and so many are decoded before a moment that
    is sought. 0: not known, in files of version 1."""
    variable: bool = False
    """Whether frames may have fewer codes than codebooks."""
    target_bps: int = 0
    """Bit rate that was asked for, all channels together, in bit/s; 0 where it was a number of codebooks."""
    live: bool = False
    """A stream of single frames with codes of fixed width, in place of range-coded packets."""
    samples: int = 0
    frames: int = 0
    """Latent frames in the whole file."""
    version: int = FORMAT_VERSION

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate

    @property
    def model_samples(self) -> int:
        """Samples per channel at the model's rate."""
        return -(-self.samples * self.model_rate // self.sample_rate)

    @property
    def packets(self) -> int:
        return -(-self.frames // self.packet_frames)

    @property
    def nominal_kbps(self) -> float:
        """Bits per second of audio if all codes were there and of fixed width, all channels together, in kbit/s."""
        frame_bits = self.channels * self.codebooks * self.bits_per_code
        return frame_bits * self.model_rate / self.latent_hop / 1000

    def frames_in(self, packet: int) -> int:
        return min(self.packet_frames, self.frames - packet * self.packet_frames)

    def max_payload_bytes(self, packet: int) -> int:
        """No payload of this packet is longer; counts of codes are symbols like codes."""
        symbols = self.codebooks + self.variable
        return max_payload_bytes(self.channels * symbols * self.frames_in(packet))

    def seconds_at(self, frame: int) -> float:
        """Where the sound of a latent frame begins, within one frame."""
        return frame * self.latent_hop / self.model_rate

    def fault(self) -> str | None:
        """What is impossible about these values, if anything."""
        for name, value, allowed in (
            ("sample rate", self.sample_rate, SAMPLE_RATES),
            ("model rate", self.model_rate, SAMPLE_RATES),
            ("channel count", self.channels, range(1, MAX_CHANNELS + 1)),
            ("samples per latent frame", self.latent_hop, range(1, 1 << 16)),
            ("number of codebooks", self.codebooks, range(1, 255 if self.live else 256)),
            ("bits per code", self.bits_per_code, range(1, MAX_BITS + 1)),
            ("latent frames per packet", self.packet_frames, range(1, 2 if self.live else 256)),
            ("receptive field", self.receptive_frames, range(1 << 16)),
            ("bit rate", self.target_bps, range(1 << 32)),
            ("sample count", self.samples, range(1 << 63)),
            ("latent frame count", self.frames, range(1 << 63)),
        ):
            if value not in allowed:
                return f"{name} {value} is outside {allowed.start} to {allowed.stop - 1}"
        covered = self.frames * self.latent_hop - self.model_samples
        if not (0 < covered < 2 * self.latent_hop if self.samples else self.frames == 0):
            return f"{self.frames} latent frames do not make {self.samples} samples"
        return None

    def to_bytes(self, tags: Mapping[str, str] | None = None) -> bytes:
        """As :data:`FORMAT_VERSION` has it. Raises :class:`UserError` where the tags are too long."""
        block = _tag_block(tags or {})
        fields = _FIELDS.pack(
            MAGIC, FORMAT_VERSION, _VARIABLE * self.variable | _LIVE * self.live, HEADER_BYTES + len(block),
            bytes.fromhex(self.fingerprint), self.sample_rate, self.model_rate, self.latent_hop, self.samples,
            self.frames, self.channels, self.codebooks, self.bits_per_code, self.packet_frames,
        )  # fmt: skip
        fields += _FURTHER.pack(self.receptive_frames, self.target_bps)
        return fields + _CRC.pack(zlib.crc32(fields)) + block


@dataclass(frozen=True)
class HeaderAndTags:
    """What was read of the start of a file: ``tags`` are missing where they were damaged, which ``tags_damaged``
    says; ``repaired``: a byte of the header was damaged, and its checksum said which, and what it was."""

    header: Header
    tags: dict[str, str]
    tags_damaged: bool
    bytes: int
    repaired: bool


def read_header_and_tags(read: Callable[[int], bytes], name: object) -> HeaderAndTags:
    """Header and tags from ``read``, which gives as many bytes as it is asked for, or what is left. ``name`` stands in
    messages.

    Raises:
        UserError: not a .nac file, cut off within the header, damaged there, or of an unknown version.
    """
    data = found = read(_FIRST_VERSION_BYTES)
    if not data:
        raise UserError(f"{name}: the file is empty (0 bytes); encode the source again")
    first_version = data[4:5] == b"\x01" and not _error(data)
    if not first_version:
        found += read(HEADER_BYTES - _FIRST_VERSION_BYTES)
        data = _repaired(found)
    if data[:4] != MAGIC[: len(data)]:
        raise UserError(f"{name}: not a .nac file; give one that was written by: codec encode")
    if len(data) > 4 and data[4] not in (1, FORMAT_VERSION):
        raise UserError(f"{name}: .nac version {data[4]}, this program reads versions 1 to {FORMAT_VERSION}; update it")
    wanted = _FIRST_VERSION_BYTES if first_version else HEADER_BYTES
    if len(data) < wanted:
        raise UserError(f"{name}: truncated within the header; {ADVICE_ON_DAMAGE}")
    if _error(data):
        raise UserError(f"{name}: the header is damaged (checksum); {ADVICE_ON_DAMAGE}")
    fields = data[: -_CRC.size]
    _, version, flags, size, model, rate, model_rate, hop, samples, frames, *counts = _FIELDS.unpack(
        fields[:START_BYTES]
    )
    known = 0 if first_version else _VARIABLE | _LIVE
    longest = wanted if first_version else wanted + MAX_TAG_BYTES + _CRC.size
    if flags & ~known or not (size == wanted or wanted + _CRC.size < size <= longest):
        raise UserError(f"{name}: uses features unknown to this program (flags {flags:#04x}); update it")
    channels, codebooks, bits, packet_frames = counts
    receptive_frames, target_bps = (0, 0) if first_version else _FURTHER.unpack(fields[START_BYTES:])
    header = Header(
        model.hex(), rate, channels, model_rate, hop, codebooks, bits, packet_frames, receptive_frames,
        bool(flags & _VARIABLE), target_bps, bool(flags & _LIVE), samples, frames, version,
    )  # fmt: skip
    if fault := header.fault():
        raise UserError(f"{name}: not a valid .nac file: {fault}; encode the source again")
    tags = _parse_tags(read(size - wanted)) if size > wanted else {}
    return HeaderAndTags(header, tags or {}, tags is None, size, repaired=data != found)


def _error(data: bytes) -> int:
    """Difference between the checksum at the end of ``data`` and what it should be."""
    return zlib.crc32(data[: -_CRC.size]) ^ int.from_bytes(data[-_CRC.size :], "little")


def _repaired(data: bytes) -> bytes:
    """A header as it was before one of its bytes was damaged, where the checksum says which: of its 2^32 errors, each
    of the 58 · 255 that a byte can cause has one cause. ``data`` itself where it is whole, or damaged beyond that."""
    error = _error(data) if len(data) == HEADER_BYTES else 0
    if not error or error not in _one_byte_errors():
        return data
    place, change = _one_byte_errors()[error]
    return data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]


@functools.cache
def _one_byte_errors() -> dict[int, tuple[int, int]]:
    """The byte, and what was added to it without carry, for each error of the checksum that this causes. What the rest
    of the header is does not matter, for the checksum is linear."""
    whole = _error(bytes(HEADER_BYTES))
    changes = [(place, change) for place in range(HEADER_BYTES) for change in range(1, 256)]
    found = {}
    for place, change in changes:
        damaged = bytes(place) + bytes([change]) + bytes(HEADER_BYTES - place - 1)
        found[_error(damaged) ^ whole] = place, change
    assert len(found) == len(changes)
    return found


def fitting_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags without the longest ones, where not all fit into a header."""
    kept = dict(tags)
    while kept and len(json.dumps(kept, ensure_ascii=False, separators=(",", ":")).encode()) > MAX_TAG_BYTES:
        del kept[max(kept, key=lambda name: len(kept[name].encode()))]
    return kept


def _tag_block(tags: Mapping[str, str]) -> bytes:
    """JSON with its checksum; nothing where there are no tags."""
    if not tags:
        return b""
    if not all(isinstance(text, str) for pair in tags.items() for text in pair):
        raise UserError("tags are pairs of texts, such as title=Song")
    try:
        text = json.dumps(dict(tags), ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise UserError("a tag is not valid text (UTF-8); leave it out") from error
    if len(text) > MAX_TAG_BYTES:
        raise UserError(f"the tags take {len(text)} bytes, and at most {MAX_TAG_BYTES} fit; shorten them")
    return text + _CRC.pack(zlib.crc32(text))


def _parse_tags(block: bytes) -> dict[str, str] | None:
    """Inverse of :func:`_tag_block`; nothing where they are damaged, for the sound does without."""
    text = block[: -_CRC.size]
    if len(block) <= _CRC.size or _CRC.unpack(block[-_CRC.size :])[0] != zlib.crc32(text):
        return None
    try:
        tags = json.loads(text)
        json.dumps(tags, ensure_ascii=False).encode()  # fails where escapes make halves of characters
    except (ValueError, RecursionError):
        return None
    good = isinstance(tags, dict) and all(isinstance(value, str) for value in tags.values())
    return tags if good else None
