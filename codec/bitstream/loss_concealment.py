"""What is heard in place of codes that were lost.

The last frame is repeated for a moment, then frames have no codes, which the decoder takes for silence. A single frame
that is lost is hardly missed so: the log spectrum around it is 2.7 dB off, and 5.0 dB if it is silent (measured on 20
files). What is longer than a moment cannot be guessed: it fades out, and back in, over the overlap of the transform's
windows, without a click. As codes alone do it, it is the same for streams and files, and decoders need nothing for it.
"""

import math

import numpy as np

from codec.bitstream.codes import NO_CODE, CodeArray
from codec.bitstream.header import Header
from codec.bitstream.reader import PacketReader

HOLD_S = 0.04


class Concealment:
    """Fills in codes ``[channels, codebooks, frames]``. Told of all codes in order, it knows the last ones."""

    def __init__(self, channels: int, codebooks: int, frame_rate_hz: float):
        self.hold = max(1, round(HOLD_S * frame_rate_hz))
        self._silent: CodeArray = np.full((channels, codebooks, 1), NO_CODE, np.int64)
        self._last, self._left = self._silent, 0

    def received(self, codes: CodeArray) -> CodeArray:
        """``codes`` themselves, which came through."""
        if codes.shape[2]:
            self._last, self._left = codes[..., -1:], self.hold
        return codes

    def lost(self, frames: int) -> CodeArray:
        """In place of so many frames."""
        held = min(frames, self._left)
        self._left -= held
        return np.concatenate([self._last.repeat(held, 2), self._silent.repeat(frames - held, 2)], 2)


class LossLog:
    """Where sound was lost. ``hop``: of the transform, in samples at the model's rate."""

    def __init__(self, header: Header, hop: int):
        self._header, self._hop = header, hop
        self._spans: list[tuple[float, float]] = []
        self.cut_off: float | None = None
        """Where nothing more followed, in seconds; what is lost before is concealed."""

    def cut(self, first: int) -> None:
        """All latent frames from ``first`` on."""
        self.add(first, max(first, self._header.frames))
        self.cut_off = min(self._starts(first), self._header.seconds if self._header.frames else math.inf)

    def _starts(self, first: int) -> float:
        return max(0, first * self._header.latent_hop - self._hop) / self._header.model_rate

    def add(self, first: int, stop: int) -> None:
        """Latent frames from ``first`` to below ``stop``: from where their windows begin to where they end."""
        head = self._header
        start = self._starts(first)
        end = max(start, stop * head.latent_hop / head.model_rate)
        sound_ends = head.seconds if head.frames else end
        self._spans.append((min(start, sound_ends), min(end, sound_ends)))

    @property
    def spans(self) -> tuple[tuple[float, float], ...]:
        """Start and end in seconds of each, in order, those that touch as one."""
        merged: list[tuple[float, float]] = []
        for start, end in sorted(self._spans):
            if merged and start <= merged[-1][1]:
                merged[-1] = merged[-1][0], max(end, merged[-1][1])
            else:
                merged.append((start, end))
        return tuple(merged)


def find_losses(reader: PacketReader, hop: int) -> LossLog:
    """What decoding a file conceals, told by checksums alone. ``hop``: see :class:`LossLog`."""
    head, found = reader.header, LossLog(reader.header, hop)
    for number in reader.damaged_packets():
        first = number * head.packet_frames
        found.add(first, first + head.frames_in(number))
    if not reader.ended:
        found.cut(head.frames)
    return found
