"""Rate control: chooses the codes that are sent, so that a stream keeps to a bit rate (a causal bit reservoir).

A code is sent if its importance reaches a threshold. The threshold is the same for all frames as long as the rate
permits it, since that gives the lowest error for the bits spent (reverse water-filling); it moves slowly to correct
deviations from the target. The decision for each packet depends only on the packets before it, so that a stream and a
whole file get the same codes.

Source: T. Cover, J. Thomas, "Elements of information theory", section 10.3 (reverse water-filling).
"""

import math
from collections.abc import Callable

import numpy as np

from codec.bitstream.codes import NO_CODE, CodeArray, CodesWithImportance
from codec.bitstream.header import WORD_BYTES
from codec.bitstream.range_coder import RangeCoder

RATE_TOLERANCE = 0.02
"""The accumulated bits may deviate by ±2 % of the target."""
UNDERSHOOT_S = 0.2
"""In addition, this many seconds' worth of bits may stay unspent, so that short files end below the target."""
MIN_IMPORTANCE = 1e-9
"""Codes whose importance is below this threshold are never sent. Only digital silence falls below it, and the decoder
outputs exact silence when no code is sent."""
RECOVERY_S = 5.0
"""Time over which a deviation from the target is corrected, in seconds."""


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
    """Rate control of one stream of packets.

    Args:
        kbps: target of the payloads, all channels together, in kbit/s; infinity to send all codes
        frame_rate_hz: latent frames per second
        packet_frames: latent frames per packet
        cost: function from the codes ``[channels, codebooks, frames]`` of a packet, some of them absent, to its bits;
            see :func:`payload_bits`
    """

    def __init__(self, kbps: float, frame_rate_hz: float, packet_frames: int, cost: Callable[[CodeArray], float]):
        self.bits_per_frame = 1000 * kbps / frame_rate_hz
        self.frame_rate_hz = frame_rate_hz
        self.packet_frames = packet_frames
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
            Codes ``[channels, codebooks, frames]`` of the packets that are complete by now; those not to be sent are
            :data:`NO_CODE`.
        """
        waiting = coded if self._waiting is None else CodesWithImportance.join([self._waiting, coded])
        *packets, self._waiting = waiting.split_frames(self.packet_frames)
        return np.concatenate([coded.codes[..., :0], *map(self._choose, packets)], 2)

    def flush(self) -> CodeArray:
        """Choose the codes of the last, incomplete packet.

        Returns:
            Codes as of :meth:`push`.
        """
        assert self._waiting is not None
        return self._choose(self._waiting)

    def _choose(self, packet: CodesWithImportance) -> CodeArray:
        frames = packet.codes.shape[2]
        if not frames or math.isinf(self.bits_per_frame):
            return packet.codes
        self.frames += frames
        allowed = self.bits_per_frame * self.frames
        highest = (1 + RATE_TOLERANCE) * allowed - self.spent
        lowest = (1 - RATE_TOLERANCE) * allowed - self.bits_per_frame * UNDERSHOOT_S * self.frame_rate_hz - self.spent
        threshold = self._threshold or self._threshold_for(packet, self.bits_per_frame * frames)
        codes = _sent(packet, threshold)
        bits = self.cost(codes)
        if bits > highest or (bits < lowest and codes.min() == NO_CODE):
            codes = _sent(packet, self._threshold_for(packet, highest if bits > highest else lowest))
            bits = self.cost(codes)
        self.spent += bits
        excess = (self.spent - allowed) / (self.bits_per_frame * self.frame_rate_hz * RECOVERY_S)
        if math.isfinite(threshold):
            self._threshold = threshold * math.exp(excess * frames / self.frame_rate_hz / RECOVERY_S)
        return codes

    def _threshold_for(self, packet: CodesWithImportance, bits: float) -> float:
        """Return about the lowest threshold at which the packet costs at most ``bits``.

        Returns:
            0 if it costs no more with all codes, infinity if it costs more with the single most important code.
        """
        # as a threshold, the n-th of them sends about n codes
        importances = np.sort(packet.importances, axis=None)[::-1]
        dear = self.cost(_sent(packet, 0.0))
        if dear <= bits:
            return 0.0
        # bisection over the number of codes, since the cost grows about linearly with it
        low, cheap, high = 0, 0.0, len(importances) - 1
        while high - low > 1 and bits - cheap > bits / 200:
            share = min(0.95, max(0.05, (bits - cheap) / (dear - cheap)))
            middle = min(high - 1, max(low + 1, round(low + share * (high - low))))
            cost = self.cost(_sent(packet, float(importances[middle])))
            if cost <= bits:
                low, cheap = middle, cost
            else:
                high, dear = middle, cost
        return float(importances[low]) if low else math.inf


def _sent(packet: CodesWithImportance, threshold: float) -> CodeArray:
    return packet.keep_above(max(threshold, MIN_IMPORTANCE))
