"""The header of a ``.nac`` file or stream: fields of fixed size, then tags; docs/bitstream.md."""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from codec.audio.waveform import MAX_CHANNELS, SAMPLE_RATES
from codec.bitstream.checksum import CRC32_BYTES, append_crc32, crc32_error
from codec.bitstream.header_repair import repair_byte
from codec.bitstream.tags import MAX_TAG_BYTES, parse_tags, tag_bytes
from codec.errors import UserError

MAGIC = b"\x89NAC"
FORMAT_VERSION = 2
MAX_BITS = 24
"""Bits of a code of fixed width."""
ADVICE_ON_DAMAGE = "copy the file or encode the source again"

_VARIABLE, _LIVE = 1, 2
_FIELDS = struct.Struct("<4sBBH8sIIIQQBBBB")
_FURTHER = struct.Struct("<HI")
_START_BYTES = _FIELDS.size
HEADER_BYTES = _START_BYTES + _FURTHER.size + CRC32_BYTES
"""Size of a header without tags."""
_HEADER_BYTES_VERSION_1 = _START_BYTES + CRC32_BYTES

WORD_BYTES = 4
"""A payload of the archive profile is a sequence of words of this size."""


def max_payload_bytes(symbols: int) -> int:
    """Return the maximum size of a payload, for any tables.

    Args:
        symbols: codes, and in variable files numbers of codes, of the packet

    Returns:
        Bytes: a word for each symbol, and two at the end.

    >>> max_payload_bytes(3)
    20
    """
    return WORD_BYTES * (symbols + 2)


@dataclass(frozen=True)
class Header:
    """Header of a ``.nac`` file or stream.

    At the start of a live stream, ``samples`` and ``frames`` are 0; its end record gives them.
    """

    fingerprint: str
    """Fingerprint of the model, 16 hexadecimal digits; see :func:`codec.pretrained.checkpoint.fingerprint`."""
    sample_rate: int
    """Sample rate of the source in Hz."""
    channels: int
    """Channels of the source."""
    model_rate: int
    """Sample rate of the model in Hz."""
    latent_hop: int
    """Samples at the model's rate per latent frame."""
    codebooks: int
    """Codebooks in use."""
    bits_per_code: int
    """Bits of a code of fixed width."""
    packet_frames: int
    """Latent frames per packet; the last packet holds the remaining ones."""
    receptive_frames: int = 0
    """Receptive field: latent frames from which a sample is decoded. It limits the effect of damage, and a seek decodes
    this number of frames before the position. 0: not known, in files of version 1."""
    variable: bool = False
    """Whether frames may have fewer codes than codebooks."""
    target_bps: int = 0
    """Target bit rate, all channels together, in bit/s; 0: none, but a number of codebooks."""
    live: bool = False
    """Live profile: single frames with codes of fixed width, instead of range-coded packets."""
    samples: int = 0
    """Samples of the source per channel."""
    frames: int = 0
    """Latent frames."""
    version: int = FORMAT_VERSION

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.samples / self.sample_rate

    @property
    def model_samples(self) -> int:
        """Samples per channel at the model's rate."""
        return -(-self.samples * self.model_rate // self.sample_rate)

    @property
    def packets(self) -> int:
        """Number of packets."""
        return -(-self.frames // self.packet_frames)

    @property
    def nominal_kbps(self) -> float:
        """Bit rate of the codes if all were sent with fixed width, all channels together, in kbit/s."""
        frame_bits = self.channels * self.codebooks * self.bits_per_code
        return frame_bits * self.model_rate / self.latent_hop / 1000

    def frames_in(self, packet: int) -> int:
        """Return the number of latent frames in a packet.

        Args:
            packet: number of the packet, from 0

        Returns:
            Frames; fewer in the last packet.
        """
        return min(self.packet_frames, self.frames - packet * self.packet_frames)

    def max_payload_bytes(self, packet: int) -> int:
        """Return the maximum size of the payload of a packet.

        Args:
            packet: number of the packet, from 0

        Returns:
            Bytes; see :func:`max_payload_bytes`.
        """
        symbols = self.codebooks + self.variable
        return max_payload_bytes(self.channels * symbols * self.frames_in(packet))

    def seconds_at(self, frame: int) -> float:
        """Return the time at which a latent frame begins, to within one frame.

        Args:
            frame: number of the frame, from 0

        Returns:
            Seconds.
        """
        return frame * self.latent_hop / self.model_rate

    def fault(self) -> str | None:
        """Check the values against their limits and each other.

        Returns:
            The first impossible value, as a phrase; None if all are possible.
        """
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
        """Serialise the header, in the layout of :data:`FORMAT_VERSION`.

        Args:
            tags: tags of the source

        Returns:
            Header and tags.

        Raises:
            UserError: The tags are not text, or too long.
        """
        block = tag_bytes(tags or {})
        fields = _FIELDS.pack(
            MAGIC, FORMAT_VERSION, _VARIABLE * self.variable | _LIVE * self.live, HEADER_BYTES + len(block),
            bytes.fromhex(self.fingerprint), self.sample_rate, self.model_rate, self.latent_hop, self.samples,
            self.frames, self.channels, self.codebooks, self.bits_per_code, self.packet_frames,
        )  # fmt: skip
        fields += _FURTHER.pack(self.receptive_frames, self.target_bps)
        return append_crc32(fields) + block


@dataclass(frozen=True)
class HeaderAndTags:
    """Header and tags of a file or stream, as read."""

    header: Header
    tags: dict[str, str]
    """Tags of the source; none if they are damaged."""
    tags_damaged: bool
    """Whether the checksum of the tags is wrong."""
    bytes: int
    """Size of header and tags."""
    repaired: bool
    """Whether one byte of the header was damaged, and repaired with the help of its checksum."""


def read_header_and_tags(read: Callable[[int], bytes], name: object) -> HeaderAndTags:
    """Read and check the header and tags.

    Args:
        read: function that returns the requested number of bytes, or fewer at the end
        name: name of the file or stream in messages

    Returns:
        Header and tags.

    Raises:
        UserError: Not a ``.nac`` file, of an unknown version, or the header is truncated or damaged beyond repair.
    """
    data = found = read(_HEADER_BYTES_VERSION_1)
    if not data:
        raise UserError(f"{name}: the file is empty (0 bytes); encode the source again")
    first_version = data[4:5] == b"\x01" and not crc32_error(data)
    if not first_version:
        found += read(HEADER_BYTES - _HEADER_BYTES_VERSION_1)
        data = repair_byte(found) if len(found) == HEADER_BYTES else found
    if data[:4] != MAGIC[: len(data)]:
        raise UserError(f"{name}: not a .nac file; give one that was written by: codec encode")
    if len(data) > 4 and data[4] not in (1, FORMAT_VERSION):
        raise UserError(f"{name}: .nac version {data[4]}, this program reads versions 1 to {FORMAT_VERSION}; update it")
    wanted = _HEADER_BYTES_VERSION_1 if first_version else HEADER_BYTES
    if len(data) < wanted:
        raise UserError(f"{name}: truncated within the header; {ADVICE_ON_DAMAGE}")
    if crc32_error(data):
        raise UserError(f"{name}: the header is damaged (checksum); {ADVICE_ON_DAMAGE}")
    fields = data[:-CRC32_BYTES]
    _, version, flags, size, model, rate, model_rate, hop, samples, frames, *counts = _FIELDS.unpack(
        fields[:_START_BYTES]
    )
    known = 0 if first_version else _VARIABLE | _LIVE
    longest = wanted if first_version else wanted + MAX_TAG_BYTES + CRC32_BYTES
    if flags & ~known or not (size == wanted or wanted + CRC32_BYTES < size <= longest):
        raise UserError(f"{name}: uses features unknown to this program (flags {flags:#04x}); update it")
    channels, codebooks, bits, packet_frames = counts
    receptive_frames, target_bps = (0, 0) if first_version else _FURTHER.unpack(fields[_START_BYTES:])
    header = Header(
        model.hex(), rate, channels, model_rate, hop, codebooks, bits, packet_frames, receptive_frames,
        bool(flags & _VARIABLE), target_bps, bool(flags & _LIVE), samples, frames, version,
    )  # fmt: skip
    if fault := header.fault():
        raise UserError(f"{name}: not a valid .nac file: {fault}; encode the source again")
    tags = parse_tags(read(size - wanted)) if size > wanted else {}
    return HeaderAndTags(header, tags or {}, tags is None, size, repaired=data != found)
