"""Detection of clipping, at any level.

A clipped waveform stays flat at its extreme value: full scale for linear samples, 0.980 for mu-law, 0.984 for A-law
(ITU-T G.711), 0.9995 for 12 valid bits in 16, and any value after a change of gain. A flat top alone does not prove
clipping, as a sine of few bits also stays at its peak for several samples. Its values just below the peak, however, are
about as frequent as the peak: a parabola spends sqrt(d) in the topmost quantisation cell of width d and
sqrt(2 d) - sqrt(d) in the next, a ratio of 2.4, or 4.5 if the next cell is half as wide, as at the borders of the
segments of G.711. A clipped waveform spends far more time at its extreme than just below.
"""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FULL_SCALE = 0.9999
"""Magnitude from which every sample counts as clipped."""
_QUIET = 2.0**-7
"""Smallest extreme that is examined; below it, 16 bits have too few values to decide."""
_FEWEST = 10
"""Smallest number of samples at the extreme that counts as clipping."""
_REST = 0.01
"""Smallest RMS level of the other samples relative to the extreme, to exclude square waves."""


@dataclass
class _Extreme:
    """The two largest values of one channel and sign, and how many samples have them; fed block by block."""

    value: float = -np.inf
    count: int = 0
    next_value: float = -np.inf
    next_count: int = 0
    in_runs: dict[int, int] = field(default_factory=lambda: {2: 0, 3: 0})
    """Samples at the extreme in runs of at least 2 and of at least 3."""
    open_run: int = 0
    """Length of the run at the end of the last block, which may continue."""

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

    def clipped_samples(self) -> int:
        """Return the number of samples at the extreme, 0 if they do not look clipped."""
        self._close()
        if self.value < _QUIET or self.count < _FEWEST:
            return 0
        # The largest values of mu-law and A-law, and of linear samples of at least 8 bits.
        full = self.value >= 0.99 or abs(self.value - 32124 / 32768) < 1e-4 or abs(self.value - 32256 / 32768) < 1e-4
        ratio, run = (3, 2) if full else (6, 3)
        flat = self.in_runs[run] >= self.count / 4
        return self.count if flat and self.count > ratio * self.next_count else 0


class ClippingMeter:
    """A meter of clipping, fed block by block, in constant memory.

    >>> waveform = np.sin(np.arange(20000) / 50)[None].astype(np.float32)
    >>> meter = ClippingMeter()
    >>> meter.push(0.4 * waveform.clip(-0.9, 0.9))
    >>> round(meter.share, 2)
    0.29
    """

    def __init__(self) -> None:
        self._extremes: list[tuple[_Extreme, _Extreme]] = []
        self._energy: npt.NDArray[np.float64] = np.zeros(0)
        self._at_full_scale = self._samples = 0

    def push(self, block: npt.NDArray[np.float32]) -> None:
        """Examine the next block.

        Args:
            block: float32 ``[channels, n]``, full scale 1
        """
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
        """Share of all samples that are clipped, from 0 to 1."""
        if not self._samples:
            return 0.0
        flat = sum(self._flat(signs, energy) for signs, energy in zip(self._extremes, self._energy, strict=True))
        return max(self._at_full_scale, flat) / (self._samples * len(self._extremes))

    def _flat(self, signs: tuple[_Extreme, _Extreme], energy: float) -> int:
        found = sum(extreme.clipped_samples() for extreme in signs)
        if not found:
            return 0
        largest = max(extreme.value for extreme in signs)
        rest = self._samples - sum(extreme.count for extreme in signs)
        rest_energy = energy - sum(extreme.count * extreme.value**2 for extreme in signs)
        return found if rest and rest_energy > rest * (_REST * largest) ** 2 else 0
