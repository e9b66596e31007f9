"""Find clipping at whatever level it happened.

A clipped waveform stays flat at its own extreme, which is full scale for linear samples, 0.980 for mu-law, 0.984 for
A-law (ITU-T G.711), 0.9995 for 12 valid bits in 16, and anything after a change of gain. A flat top alone is not
clipping: a sine of few bits rests at its peak, too. But there the values just below the peak are about as frequent as
the peak: a parabola through the top of a cell of width d spends sqrt(d) in it and sqrt(2 d) - sqrt(d) in the next, a
ratio of 2.4, and 4.5 where the next cell is half as wide, as at the borders of G.711's segments. A clipped waveform
spends far longer at the extreme than next to it.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FULL_SCALE = 0.9999
"""From here on every sample counts as clipped."""
_QUIET = 2.0**-7
"""Below that extreme, 16 bits leave too few values to tell."""
_FEWEST = 10
"""Samples at an extreme."""
_REST = 0.01
"""RMS level of the other samples relative to the extreme; square waves have less."""


@dataclass
class _Extreme:
    """The largest values of one channel and sign, and how samples lie at them; fed block by block."""

    value: float = -np.inf
    count: int = 0
    next_value: float = -np.inf
    next_count: int = 0
    in_runs: dict[int, int] = field(default_factory=lambda: {2: 0, 3: 0})
    """Samples at the extreme in runs of at least 2 and of at least 3."""
    open_run: int = 0
    """Length of the run that the last block ended in."""

    def push(self, samples: npt.NDArray[np.float32]) -> None:
        """Take the next samples ``[n]``, n > 0."""
        top = float(samples.max())
        if top < self.next_value:
            self._close()
            return
        at_top = samples == top
        below = samples[~at_top]
        values: dict[float, int] = {}
        pairs = [(self.value, self.count), (self.next_value, self.next_count), (top, int(at_top.sum()))]
        if len(below):
            second = float(below.max())
            pairs.append((second, int((below == second).sum())))
        for value, count in pairs:
            values[value] = values.get(value, 0) + count
        first, second = sorted(values, reverse=True)[:2]
        if first > self.value:
            self.in_runs, self.open_run = {2: 0, 3: 0}, 0
        self.value, self.count, self.next_value, self.next_count = first, values[first], second, values[second]
        if top == first:
            self._count_runs(at_top)
        else:
            self._close()

    def _count_runs(self, at_top: npt.NDArray[np.bool_]) -> None:
        edges = np.flatnonzero(np.diff(at_top, prepend=False, append=False))
        lengths = edges[1::2] - edges[::2]
        if at_top[0]:
            lengths[0] += self.open_run
            self.open_run = 0
        self._close()
        if at_top[-1]:
            self.open_run, lengths = int(lengths[-1]), lengths[:-1]
        for shortest in self.in_runs:
            self.in_runs[shortest] += int(lengths[lengths >= shortest].sum())

    def _close(self) -> None:
        for shortest in self.in_runs:
            self.in_runs[shortest] += self.open_run if self.open_run >= shortest else 0
        self.open_run = 0

    def clipped(self) -> int:
        """Number of samples at the extreme, 0 where they do not look clipped."""
        self._close()
        if self.value < _QUIET or self.count < _FEWEST:
            return 0
        # The largest values of mu-law and A-law, and of linear samples of at least 8 bits.
        full = self.value >= 0.99 or abs(self.value - 32124 / 32768) < 1e-4 or abs(self.value - 32256 / 32768) < 1e-4
        ratio, run = (3, 2) if full else (6, 3)
        flat = self.in_runs[run] >= self.count / 4
        return self.count if flat and self.count > ratio * self.next_count else 0


class ClippingMeter:
    """Counts clipped samples block by block, in constant memory."""

    def __init__(self) -> None:
        self._extremes: list[tuple[_Extreme, _Extreme]] = []
        self._energy: npt.NDArray[np.float64] = np.zeros(0)
        self._at_full_scale = self._samples = 0

    def push(self, block: npt.NDArray[np.float32]) -> None:
        """Take float32 ``[channels, n]``."""
        if not self._extremes:
            self._extremes = [(_Extreme(), _Extreme()) for _ in block]
            self._energy = np.zeros(len(block))
        if block.shape[1] == 0:
            return
        self._samples += block.shape[1]
        self._at_full_scale += int((np.abs(block) >= FULL_SCALE).sum())
        self._energy += np.square(block, dtype=np.float64).sum(axis=1)
        for samples, (positive, negative) in zip(block, self._extremes, strict=True):
            positive.push(samples)
            negative.push(-samples)

    @property
    def share(self) -> float:
        """Share of all samples that are clipped, 0 to 1."""
        if not self._samples:
            return 0.0
        flat = sum(self._flat(signs, energy) for signs, energy in zip(self._extremes, self._energy, strict=True))
        return max(self._at_full_scale, flat) / (self._samples * len(self._extremes))

    def _flat(self, signs: tuple[_Extreme, _Extreme], energy: float) -> int:
        found = sum(extreme.clipped() for extreme in signs)
        if not found:
            return 0
        largest = max(extreme.value for extreme in signs)
        rest = self._samples - sum(extreme.count for extreme in signs)
        rest_energy = energy - sum(extreme.count * extreme.value**2 for extreme in signs)
        return found if rest and rest_energy > rest * (_REST * largest) ** 2 else 0
