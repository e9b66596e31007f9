"""Which frames get how many codes, so that a stream keeps to a bit rate: a causal bit reservoir.

Frames have codes as long as they need them more than a bound (see :func:`codec.model.quantizers.need`). The bound is
the same for all frames for as long as the rate permits it, for that is what makes the most of the bits; it moves slowly
against what was spent too much or too little. Packets are decided one by one from what came before, so that a stream
and a whole file are coded alike.
"""

import math
from collections.abc import Callable

import numpy as np
import torch

from codec.bitstream.range_coder import WORD_BYTES, Codes, RangeCoder
from codec.model.quantizers import Coded

TOLERANCE = 0.02
"""At any time so much more or less may have been spent than the rate allows, relative to that,"""
SLACK_S = 0.2
"""and less than that by what so many seconds cost: short files had better be below their rate than above it."""
NEEDED = 1e-9
"""Codes that are needed less, which are those of digital silence, are always left out: without them, it is silent."""
MEMORY_S = 5.0
"""What was spent wrongly is made good over about so many seconds."""


def payload_bits(coder: RangeCoder) -> Callable[[Codes], float]:
    """What a packet costs whose frames have different numbers of codes: ideally coded, and the half word that is lost
    at the end of a payload."""
    return lambda codes: coder.bits(codes, True) + 8 * WORD_BYTES / 2


class RateControl:
    """For one stream of packets.

    Args:
        kbps: bit rate to keep to, all channels together, in kbit/s; infinity for all codes.
        frames_per_second: of latents.
        packet_frames: latents per packet.
        cost: bits of a packet of codes ``[channels, codebooks, frames]`` of which some are absent.
    """

    def __init__(self, kbps: float, frames_per_second: float, packet_frames: int, cost: Callable[[Codes], float]):
        self.bits_per_frame = 1000 * kbps / frames_per_second
        self.frames_per_second = frames_per_second
        self.packet_frames = packet_frames
        self.cost = cost
        self._waiting: Coded | None = None
        self.frames = 0
        self.spent = 0.0
        self._bound = 0.0

    def push(self, coded: Coded) -> Codes:
        """What the encoder gave, any number of frames, to the codes ``[channels, codebooks, frames]`` of the packets
        that are whole by now; the codes that these do without are absent."""
        coded = Coded(coded.codes.cpu(), coded.need.cpu())
        waiting = coded if self._waiting is None else Coded.join([self._waiting, coded])
        size = self.packet_frames
        whole, rest = divmod(waiting.codes.shape[2], size)
        *packets, self._waiting = waiting.split([size] * whole + [rest], 2)
        return np.concatenate([coded.codes[..., :0].numpy(), *map(self._spend, packets)], 2)

    def flush(self) -> Codes:
        """The last packet, as :meth:`push`."""
        assert self._waiting is not None
        return self._spend(self._waiting)

    def _spend(self, packet: Coded) -> Codes:
        frames = packet.codes.shape[2]
        if not frames or math.isinf(self.bits_per_frame):
            return packet.codes.numpy()
        self.frames += frames
        allowed = self.bits_per_frame * self.frames
        most = (1 + TOLERANCE) * allowed - self.spent
        least = (1 - TOLERANCE) * allowed - self.bits_per_frame * SLACK_S * self.frames_per_second - self.spent
        # from the largest on: with its first n needs as bounds, ever more codes are used
        needs = packet.need.flatten().sort(descending=True).values

        def used(bound: float) -> Codes:
            return packet.within(torch.tensor(max(bound, NEEDED))).numpy()

        def within(bits: float) -> float:
            """The lowest bound at which the packet costs no more, about; 0 if it never does."""
            dear = self.cost(used(0.0))
            if dear <= bits:
                return 0.0
            # costs grow about evenly with the number of codes
            low, cheap, high = 0, 0.0, len(needs) - 1
            while high - low > 1 and bits - cheap > bits / 200:
                share = min(0.95, max(0.05, (bits - cheap) / (dear - cheap)))
                middle = min(high - 1, max(low + 1, round(low + share * (high - low))))
                cost = self.cost(used(float(needs[middle])))
                if cost <= bits:
                    low, cheap = middle, cost
                else:
                    high, dear = middle, cost
            return float(needs[low]) if low else math.inf

        bound = self._bound or within(self.bits_per_frame * frames)
        codes = used(bound)
        bits = self.cost(codes)
        if bits > most or (bits < least and codes.min() < 0):
            codes = used(within(most if bits > most else least))
            bits = self.cost(codes)
        self.spent += bits
        excess = (self.spent - allowed) / (self.bits_per_frame * self.frames_per_second * MEMORY_S)
        if math.isfinite(bound):
            self._bound = bound * math.exp(excess * frames / self.frames_per_second / MEMORY_S)
        return codes
