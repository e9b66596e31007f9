"""Removal of an encoder's delay and padding from decoded audio."""

from codec.audio.waveform import FloatArray


class Trimmer:
    """Drop samples at both ends of a stream whose end is not known in advance.

    Args:
        delay: samples to drop at the start, which are the encoder's delay
        held: samples to hold back until the end is reached: at least as many as can turn out to be padding

    >>> import numpy as np
    >>> trimmer = Trimmer(delay=2, held=3)
    >>> parts = trimmer.push(np.arange(8)[None]) + trimmer.end(padding=1)
    >>> np.concatenate(parts, axis=1).tolist()
    [[2, 3, 4, 5, 6]]
    """

    def __init__(self, delay: int, held: int = 0) -> None:
        self._delay, self._held = delay, held
        self._waiting: list[FloatArray] = []
        self._count = 0

    def push(self, block: FloatArray) -> list[FloatArray]:
        """Take the next samples.

        Args:
            block: float32 ``[channels, n]``

        Returns:
            The blocks that are certainly not padding.
        """
        dropped = min(self._delay, block.shape[1])
        self._delay -= dropped
        block = block[:, dropped:]
        if not self._held:
            return [block]
        self._waiting.append(block)
        self._count += block.shape[1]
        ready = []
        while self._waiting and self._count - self._waiting[0].shape[1] >= self._held:
            ready.append(self._waiting.pop(0))
            self._count -= ready[-1].shape[1]
        return ready

    def end(self, padding: int) -> list[FloatArray]:
        """Return the samples that were held back.

        Args:
            padding: samples to drop at the end

        Returns:
            The remaining blocks, float32 ``[channels, n]`` each.
        """
        kept, left = [], max(0, self._count - padding)
        for block in self._waiting:
            kept.append(block[:, : min(left, block.shape[1])])
            left -= kept[-1].shape[1]
        self._waiting, self._count = [], 0
        return kept
