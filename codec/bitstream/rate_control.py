"""Rate control: chooses the codes that are sent, so that a file or stream keeps to a bit rate (a causal bit reservoir).

All bits count, those of headers, lengths, checksums and index included; only tags and pictures do not.

A code is sent if its importance reaches a threshold. The threshold is the same for all frames as long as the rate
permits it, since that gives the lowest error for the bits spent (reverse water-filling); it moves slowly to correct
deviations from the target, as a proportional-integral controller does: with the accumulated deviation alone, it would
swing for ever. The decision for each packet depends only on the packets before it, so that a stream and a
whole file get the same codes. The last seconds of a file are decided together, when its length is known, so that its
rate is the target; a short file consists of nothing else, and has one threshold.

Sources: T. Cover, J. Thomas, "Elements of information theory", section 10.3 (reverse water-filling); K. J. Åström,
R. M. Murray, "Feedback systems", chapter 11 (proportional-integral control, and its windup where it has no effect).
"""

import math
from collections.abc import Callable, Sequence

import numpy as np

from codec.bitstream.codes import NO_CODE, CodeArray, CodesWithImportance
from codec.bitstream.file_layout import FileLayout
from codec.bitstream.header import WORD_BYTES
from codec.bitstream.range_coder import RangeCoder

RATE_TOLERANCE = 0.02
"""The accumulated bits may deviate by ±2 % of the target."""
UNDERSHOOT_S = 0.2
"""In addition, this many seconds' worth of bits may stay unspent until the end."""
END_TOLERANCE = 0.005
"""A file may deviate by ±0.5 % of the target, and by what its last packets differ from their estimate."""
MAX_OVERHEAD_SHARE = 0.25
"""The header counts at most this share of the bits of a file, so that files of less than about a second have codes."""
MIN_IMPORTANCE = 1e-9
"""Codes whose importance is below this threshold are never sent. Only digital silence falls below it, and the decoder
outputs exact silence when no code is sent."""
MIN_END_SHARE = 0.5
"""The last packets may cost this share of what the target allows for their duration, whatever was spent before."""
RECOVERY_S = 5.0
"""Time over which a deviation from the target is corrected, and the bits of the header are saved, in seconds."""
DAMPING = 1.0
"""Weight of a packet's own deviation, beside the accumulated one. With importances that are equally distributed all the
time, at 3 kbit/s, 314 codes per second vary by 55 without it, in periods of 44 s, and by 13 with it (measured)."""


def payload_bits(coder: RangeCoder) -> Callable[[CodeArray], float]:
    """Return the cost function of packets of the archive profile.

    Args:
        coder: range coder of the model

    Returns:
        A function from variable codes ``[channels, codebooks, frames]`` of a packet to the bits of its payload: their
        information, and the half word that is lost on average at the end of a payload.
    """
    return lambda codes: coder.bits(codes, True) + 8 * WORD_BYTES / 2


class RateControl:
    """Rate control of one file or stream.

    Args:
        kbps: target, all channels together, in kbit/s; infinity to send all codes
        frame_rate_hz: latent frames per second
        layout: packets, and bits in addition to payloads
        cost: function from the codes ``[channels, codebooks, frames]`` of a packet, some of them absent, to the bits of
            its payload; see :func:`payload_bits`
    """

    def __init__(self, kbps: float, frame_rate_hz: float, layout: FileLayout, cost: Callable[[CodeArray], float]):
        self.bits_per_second = 1000 * kbps
        self.frame_rate_hz = frame_rate_hz
        self.layout = layout
        self.cost = cost
        self.frames = 0
        """Latent frames of the packets so far."""
        self.spent = 0.0
        """Bits of the packets so far."""
        self._waiting: CodesWithImportance | None = None
        self._threshold = 0.0

    def push(self, coded: CodesWithImportance) -> CodeArray:
        """Add codes of the encoder, and choose those of complete packets.

        Args:
            coded: any number of frames

        Returns:
            Codes ``[channels, codebooks, frames]`` of the packets that are chosen by now; those not to be sent are
            :data:`NO_CODE`. The last :attr:`codec.bitstream.file_layout.FileLayout.held_frames` are kept back, unless
            all codes are sent.
        """
        if math.isinf(self.bits_per_second):
            self._waiting = CodesWithImportance(coded.codes[..., :0], coded.importances[..., :0])
            return coded.codes
        waiting = coded if self._waiting is None else CodesWithImportance.join([self._waiting, coded])
        size = self.layout.packet_frames
        most_left = max(size - 1, self.layout.held_frames)
        ready = max(0, -(-(waiting.codes.shape[2] - most_left) // size))
        packets = waiting.split_frames(size)
        self._waiting = CodesWithImportance.join(packets[ready:])
        return np.concatenate([coded.codes[..., :0], *map(self._choose, packets[:ready])], 2)

    def flush(self, seconds: float) -> CodeArray:
        """Choose the codes of the last packets.

        Args:
            seconds: duration of the whole

        Returns:
            Codes as of :meth:`push`.
        """
        assert self._waiting is not None
        frames = self._waiting.codes.shape[2]
        if not frames:
            return self._waiting.codes
        short = not self.frames and frames <= self.layout.short_frames
        packets = [self._waiting] if short else self._waiting.split_frames(self.layout.packet_frames)
        packets = [packet for packet in packets if packet.codes.shape[2]]
        target = self.bits_per_second * seconds
        start = min(self.layout.short_bits if short else self.layout.start_bits, MAX_OVERHEAD_SHARE * target)
        left = target - start - self.spent - (0 if short else self.layout.packet_bits * len(packets))
        lost = 8 * WORD_BYTES / 2 * len(packets)
        left = max(left, MIN_END_SHARE * self.bits_per_second * frames / self.frame_rate_hz + lost)
        threshold = self._threshold or self._threshold_for(packets, left)
        bits = self._bits(packets, threshold)
        lowest, highest = left - END_TOLERANCE * target, left + END_TOLERANCE * target
        if bits > highest or bits < lowest:
            threshold = self._threshold_for(packets, highest if bits > highest else lowest)
        return np.concatenate([_sent(packet, threshold) for packet in packets], 2)

    def _choose(self, packet: CodesWithImportance) -> CodeArray:
        frames = packet.codes.shape[2]
        self.frames += frames
        self.spent += self.layout.packet_bits
        seconds, duration = self.frames / self.frame_rate_hz, frames / self.frame_rate_hz
        target = self.bits_per_second * seconds
        allowed = target - self.layout.start_bits * min(1.0, seconds / RECOVERY_S)
        left = allowed - self.spent
        lowest = left - RATE_TOLERANCE * target - self.bits_per_second * UNDERSHOOT_S
        highest = left + RATE_TOLERANCE * target
        threshold = self._threshold or self._threshold_for([packet], left)
        codes = _sent(packet, threshold)
        bits = self.cost(codes)
        too_few = bits < lowest and codes.min() == NO_CODE
        if bits > highest or too_few:
            codes = _sent(packet, self._threshold_for([packet], highest if bits > highest else lowest))
            bits = self.cost(codes)
        self.spent += bits
        self.spent = max(self.spent, allowed - self.layout.carried_s * self.bits_per_second)
        if math.isfinite(threshold):
            accumulated = max(-1.0, min(1.0, (bits - left) / (self.bits_per_second * RECOVERY_S)))
            own = (bits + self.layout.packet_bits) / (self.bits_per_second * duration) - 1
            move = (accumulated + DAMPING * own) * duration / RECOVERY_S
            # where the packet was given more, or no lower threshold would, the threshold is not what has to change
            move = min(move, 0.0) if too_few else move
            move = max(move, 0.0) if _is_complete(packet, codes) else move
            self._threshold = threshold * math.exp(move)
        return codes

    def _bits(self, packets: Sequence[CodesWithImportance], threshold: float) -> float:
        return sum(self.cost(_sent(packet, threshold)) for packet in packets)

    def _threshold_for(self, packets: Sequence[CodesWithImportance], bits: float) -> float:
        """Return about the lowest threshold at which the packets cost at most ``bits``.

        Returns:
            0 if they cost no more with all codes, infinity if they cost more with the single most important code.
        """
        # as a threshold, the n-th of them sends about n codes
        importances = np.sort(np.concatenate([packet.importances.ravel() for packet in packets]))[::-1]
        dear = self._bits(packets, 0.0)
        if dear <= bits:
            return 0.0
        # bisection over the number of codes, since the cost grows about linearly with it
        low, cheap, high = 0, 0.0, len(importances) - 1
        while high - low > 1 and bits - cheap > bits / 400:
            share = min(0.95, max(0.05, (bits - cheap) / (dear - cheap)))
            middle = min(high - 1, max(low + 1, round(low + share * (high - low))))
            cost = self._bits(packets, float(importances[middle]))
            if cost <= bits:
                low, cheap = middle, cost
            else:
                high, dear = middle, cost
        threshold = float(importances[low])
        return threshold if low or self._bits(packets, threshold) <= bits else math.inf


def _is_complete(packet: CodesWithImportance, codes: CodeArray) -> bool:
    """Determine whether all codes are sent but those of digital silence."""
    return not ((codes == NO_CODE) & (packet.importances >= MIN_IMPORTANCE)).any()


def _sent(packet: CodesWithImportance, threshold: float) -> CodeArray:
    return packet.keep_above(max(threshold, MIN_IMPORTANCE))
