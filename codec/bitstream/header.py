"""The values in the header of a ``.nac`` file or stream, and their limits; docs/bitstream.md."""

from collections.abc import Iterable
from dataclasses import dataclass

from codec.audio.waveform import MAX_CHANNELS, SAMPLE_RATES

FORMAT_VERSION = 3
"""Version that is written."""
FINGERPRINT_DIGITS = 8
"""Hexadecimal digits of a model's fingerprint that are written."""
MAX_BITS = 24
"""Bits of a code of fixed width."""
MAX_PACKET_FRAMES = 255
MAX_SAMPLES = (1 << 41) - 1
"""Samples of a file of the version that is written."""
ADVICE_ON_DAMAGE = "copy the file or encode the source again"
WORD_BYTES = 4
"""A payload of the archive profile is a sequence of words of this size."""


def is_fingerprint_of(stored: str, models: Iterable[str]) -> bool:
    """Determine whether a fingerprint in a file is that of one of some models.

    Args:
        stored: fingerprint in the file, which may be the beginning of one
        models: whole fingerprints

    Returns:
        Whether one of them begins with it.

    >>> is_fingerprint_of("01234567", ["0123456789abcdef"])
    True
    """
    return any(model.startswith(stored) for model in models)


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
    """Fingerprint of the model in hexadecimal digits, see :func:`codec.pretrained.checkpoint.fingerprint`: 16 of them,
    or the first 8 in what was read from version 3."""
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
    """Receptive field: latent frames from which a sample is decoded. Only in files of version 2; otherwise 0."""
    variable: bool = False
    """Whether frames may have fewer codes than codebooks."""
    target_bps: int = 0
    """Target bit rate, all channels together, in bit/s; 0: none, but a number of codebooks."""
    live: bool = False
    """Live profile: single frames with codes of fixed width, instead of range-coded packets."""
    short: bool = False
    """Short profile: one range-coded packet, and one checksum for the whole file."""
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
            ("latent frames per packet", self.packet_frames, range(1, 2 if self.live else MAX_PACKET_FRAMES + 1)),
            ("receptive field", self.receptive_frames, range(1 << 16)),
            ("bit rate", self.target_bps, range(1 << 32)),
            ("sample count", self.samples, range(1 << 63)),
            ("latent frame count", self.frames, range(1 << 63)),
        ):
            if value not in allowed:
                return f"{name} {value} is outside {allowed.start} to {allowed.stop - 1}"
        if self.short and self.packets > 1:
            return f"{self.frames} latent frames are too many for a short file"
        covered = self.frames * self.latent_hop - self.model_samples
        if not (0 < covered < 2 * self.latent_hop if self.samples else self.frames == 0):
            return f"{self.frames} latent frames do not make {self.samples} samples"
        return None
