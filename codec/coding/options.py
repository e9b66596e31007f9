"""Options of encoding and decoding, the same for files, pipes, batches and the Python interface."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from codec.bitstream.framing import PACKET_S, packet_frames
from codec.errors import UserError
from codec.whole_numbers import whole_number


@dataclass(frozen=True)
class CodingOptions:
    """Options of encoding.

    Raises:
        UserError: a bit rate or a duration that is out of range or no number, a number of codebooks that is not whole,
            or tags that are not pairs.
    """

    kbps: float | None = None
    """Bit rate of the whole file in kbit/s, all channels together, without tags and pictures. Codes are selected by
    importance, see :mod:`codec.bitstream.rate_control`; files of a second and more come within 2 % of it. With a model
    without context classes, every frame gets as many codes as are expected to stay within it, and at least one."""
    codebooks: int | None = None
    """Number of codes of every frame; with a bit rate, their largest number (default: all codes of the model)."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Title, date and the like, stored in the file in addition to those of the source, over which they have
    precedence; an empty text leaves out that tag of the source. The case of names means nothing."""
    pictures: bool = True
    """Whether the file keeps the pictures of the source."""
    salvage: bool = False
    """Whether what can be read of a truncated or damaged source is encoded, which the tag ``salvaged`` then states, see
    :mod:`codec.coding.salvage`; otherwise it is an error."""
    packet_s: float | None = None
    """Duration of the packets of a file in seconds, up to 255 frames of the model (default: 2 s, or 255 frames). Longer
    ones take fewer bits, and more is lost with one. Live streams have a packet for each frame."""

    def __post_init__(self) -> None:
        for value, name in ((self.kbps, "the bit rate"), (self.packet_s, "the duration of a packet")):
            if not isinstance(value, (int, float, np.number, type(None))):
                raise UserError(f"{name} must be a number, not {value!r}")
        if self.codebooks is not None:
            object.__setattr__(self, "codebooks", whole_number(self.codebooks, "the number of codebooks", least=1))
        if not isinstance(self.tags, Mapping):
            raise UserError(f"tags are pairs of texts, such as {{'title': 'Song'}}, not {self.tags!r}")
        if self.kbps is not None and not 0 < self.kbps < 4e6:
            raise UserError(f"the bit rate must be above 0 kbps and below 4,000,000, not {self.kbps}")
        if self.packet_s is not None and not self.packet_s > 0:
            raise UserError(f"the duration of a packet must be above 0 s, not {self.packet_s:g}")

    def packet_frames(self, frame_rate_hz: float) -> int:
        """Return the number of latent frames in a packet.

        Args:
            frame_rate_hz: latent frames per second

        Returns:
            Frames, from 1 to 255.
        """
        return packet_frames(frame_rate_hz, PACKET_S if self.packet_s is None else self.packet_s)

    @property
    def target_bps(self) -> int:
        """The bit rate in bit/s, as stored in a header; 0 if there is none."""
        return 0 if self.kbps is None else max(1, round(1000 * self.kbps))


@dataclass(frozen=True)
class DecodingOptions:
    """Options of decoding: part of the file, sample format and handling of damage."""

    start: float = 0.0
    """Start of the decoded part in seconds."""
    end: float | None = None
    """End of the decoded part in seconds (default: the end of the file)."""
    strict: bool = False
    """Whether damage is an error; otherwise it is concealed and reported."""
    subtype: str = "PCM_16"
    """Sample format of the output, by libsndfile's name, see :class:`codec.audio.AudioWriter`."""

    @property
    def is_whole(self) -> bool:
        """Whether the whole file is decoded."""
        return not self.start and self.end is None
