"""Augmentation: extends the training distribution to audio that the data lacks.

All random draws depend on the seed, the step, the name of the augmentation and the number of the item in the batch, so
that a resumed run is augmented like an uninterrupted one, several processes that share a batch like one, and an
additional augmentation changes no other. Each item of the batch is augmented with the probability that the recipe
gives. The result stays within [-1, 1]: an item that would exceed it is scaled down.
"""

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from codec.config import AugmentConfig
from codec.training.host_copy import to_device

GAIN_DB = (-20.0, 6.0)
QUIET_DB = (-40.0, -20.0)
NOISE_SNR_DB = (5.0, 40.0)
MIX_SNR_DB = (0.0, 20.0)
BAND_LIMIT_SHARE = (0.25, 0.9)
"""Cut-off frequency as a share of half the sample rate."""
EQUALISER_DB = 12.0
EQUALISER_POINTS = 6
REVERB_S = (0.1, 0.6)
REVERB_WET = (0.1, 0.5)
QUIET = 1e-8
_HOST = torch.device("cpu")


class BatchItems:
    """Some items of a batch, with the random draws that each augmentation makes for them.

    What is one number or a few for each item is drawn for the whole batch, since that costs nothing; noise is drawn for
    these items alone.

    Args:
        seed: seed of the run
        step: number of the batch
        batch: number of items in the batch
        numbers: numbers of these items in it; by default all
    """

    def __init__(self, seed: int, step: int, batch: int, numbers: Sequence[int] | None = None):
        self.key, self.batch = (seed, step), batch
        self.numbers = np.arange(batch) if numbers is None else np.asarray(numbers)

    def draws(self, name: str, device: torch.device = _HOST) -> "_Draws":
        """Return the draws of an augmentation, from their beginning.

        Args:
            name: a key of :data:`AUGMENTATIONS`
            device: receives the random numbers, which are drawn on the CPU

        Returns:
            A source of random numbers for these items.
        """
        return _Draws([*self.key, zlib.crc32(name.encode())], self, device)

    def with_partners(self, config: AugmentConfig) -> "BatchItems":
        """Add the items that are mixed into these.

        Args:
            config: probability of each augmentation

        Returns:
            These items, followed by those that :func:`augment` needs beside them.
        """
        if not config.mix:
            return self
        draws = self.draws("mix")
        chosen = draws.chosen(config.mix).numpy()
        partners = draws.partners()[chosen]
        others = sorted(set(partners.tolist()) - set(self.numbers.tolist()))
        return BatchItems(*self.key, self.batch, [*self.numbers.tolist(), *others])


class _Draws:
    def __init__(self, key: list[int], items: BatchItems, device: torch.device):
        self._key, self._rng = key, np.random.default_rng(key)
        self.items, self._device = items, device

    def _placed(self, drawn: npt.NDArray[Any]) -> Tensor:
        return to_device(torch.from_numpy(drawn), self._device)

    def chosen(self, share: float) -> Tensor:
        """Draw which items are augmented ``[items]``."""
        return self._placed((self._rng.random(self.items.batch) < share)[self.items.numbers])

    def uniform(self, bounds: tuple[float, float]) -> Tensor:
        """Draw uniform numbers ``[items, 1, 1]``."""
        drawn = self._rng.uniform(*bounds, self.items.batch)[self.items.numbers]
        return self._placed(drawn).float()[:, None, None]

    def curve(self, points: int, spread: float, bins: int) -> Tensor:
        """Draw smooth gains in dB ``[items, 1, bins]``: normal at ``points`` frequencies, linear in between."""
        drawn = self._rng.normal(0, spread, (self.items.batch, 1, points))[self.items.numbers]
        values = self._placed(drawn).float()
        return torch.nn.functional.interpolate(values, size=bins, mode="linear", align_corners=True)

    def noise(self, *shape: int) -> Tensor:
        """Draw white noise ``[items, *shape]``."""
        each = [
            np.random.default_rng([*self._key, number]).standard_normal(shape, dtype=np.float32)
            for number in self.items.numbers.tolist()
        ]
        return self._placed(np.stack(each))

    def partner_items(self) -> Tensor:
        """Return which of these items is mixed into each ``[items]``; the first one for a partner that is none."""
        position = {number: index for index, number in enumerate(self.items.numbers.tolist())}
        return self._placed(np.array([position.get(number, 0) for number in self.partners().tolist()]))

    def partners(self) -> npt.NDArray[np.int64]:
        """Draw the number of another item of the batch for each item ``[items]``."""
        batch = self.items.batch
        return (self.items.numbers - int(self._rng.integers(1, max(2, batch)))) % batch


def augment(wave: Tensor, config: AugmentConfig, sample_rate: int, items: BatchItems) -> Tensor:
    """Augment a batch of waveforms, or a part of it.

    Args:
        wave: ``[items, channels, samples]`` in [-1, 1]
        config: probability of each augmentation
        sample_rate: in Hz
        items: numbers of the items in the batch, with the items that are mixed into others
            (:meth:`BatchItems.with_partners`); those, if they are no part of their own, do not get a mix

    Returns:
        The augmented items in [-1, 1]; the input itself if all augmentations are off.

    >>> batch = torch.randn(2, 1, 1600).clamp(-1, 1)
    >>> items, config = BatchItems(seed=0, step=7, batch=2), AugmentConfig(gain=1.0, noise=0.5)
    >>> once, again = (augment(batch, config, 16000, items) for _ in range(2))
    >>> torch.equal(once, again), augment(batch, AugmentConfig(), 16000, items) is batch
    (True, True)
    """
    changed = wave
    for name, apply in AUGMENTATIONS.items():
        share = getattr(config, name)
        if share > 0:
            draws = items.draws(name, wave.device)
            chosen = draws.chosen(share)
            changed = torch.where(chosen[:, None, None], apply(changed, draws, sample_rate), changed)
    if changed is wave:
        return wave
    return changed / changed.abs().amax((1, 2), keepdim=True).clamp(min=1.0)


def _power(wave: Tensor) -> Tensor:
    return wave.square().mean((1, 2), keepdim=True)


def _add(wave: Tensor, other: Tensor, snr_db: Tensor) -> Tensor:
    ratio = _power(wave) / _power(other).clamp(min=QUIET) / 10 ** (snr_db / 10)
    return wave + other * ratio.sqrt()


def _filter(wave: Tensor, response: Tensor) -> Tensor:
    """Apply a zero-phase filter with gains ``[batch, 1, bins]`` at ``samples / 2 + 1`` bins."""
    return torch.fft.irfft(torch.fft.rfft(wave) * response, n=wave.shape[-1])


def _gain(wave: Tensor, draws: _Draws, sample_rate: int) -> Tensor:
    return wave * 10 ** (draws.uniform(GAIN_DB) / 20)


def _quiet(wave: Tensor, draws: _Draws, sample_rate: int) -> Tensor:
    """Lower the level far below the usual one, like recordings from a distance."""
    return wave * 10 ** (draws.uniform(QUIET_DB) / 20)


def _noise(wave: Tensor, draws: _Draws, sample_rate: int) -> Tensor:
    """Add noise of a random colour."""
    white = draws.noise(*wave.shape[1:])
    colour = 10 ** (draws.curve(3, 10.0, wave.shape[-1] // 2 + 1) / 20)
    return _add(wave, _filter(white, colour), draws.uniform(NOISE_SNR_DB))


def _mix(wave: Tensor, draws: _Draws, sample_rate: int) -> Tensor:
    """Add another item of the batch at a lower level."""
    return _add(wave, wave[draws.partner_items()], draws.uniform(MIX_SNR_DB))


def _band_limit(wave: Tensor, draws: _Draws, sample_rate: int) -> Tensor:
    bins = wave.shape[-1] // 2 + 1
    edge = draws.uniform(BAND_LIMIT_SHARE)
    # from full gain at the edge to none a tenth of the band above it
    return _filter(wave, ((edge - torch.linspace(0, 1, bins, device=wave.device)) / 0.1 + 1).clamp(0, 1))


def _equaliser(wave: Tensor, draws: _Draws, sample_rate: int) -> Tensor:
    decibel = draws.curve(EQUALISER_POINTS, EQUALISER_DB / 3, wave.shape[-1] // 2 + 1)
    return _filter(wave, 10 ** (decibel.clamp(-EQUALISER_DB, EQUALISER_DB) / 20))


def _reverb(wave: Tensor, draws: _Draws, sample_rate: int) -> Tensor:
    """Add reverberation: decaying noise as impulse response, -60 dB after a random time, at a random wet share."""
    samples = wave.shape[-1]
    length = min(samples, round(REVERB_S[1] * sample_rate))
    time_s = torch.arange(length, device=wave.device) / sample_rate
    decay = torch.exp(-6.9 * time_s / draws.uniform(REVERB_S))  # ln(1000) = 6.9
    room = draws.noise(1, length) * decay
    size = samples + length
    tail = torch.fft.irfft(torch.fft.rfft(wave, n=size) * torch.fft.rfft(room, n=size), n=size)[..., :samples]
    wet = draws.uniform(REVERB_WET)
    return _add(wave * (1 - wet), tail, 20 * torch.log10((1 - wet) / wet))


AUGMENTATIONS: dict[str, Callable[[Tensor, _Draws, int], Tensor]] = {
    "equaliser": _equaliser,
    "reverb": _reverb,
    "mix": _mix,
    "noise": _noise,
    "band_limit": _band_limit,
    "gain": _gain,
    "quiet": _quiet,
}
"""In the order in which audio meets them: voice, room, other sources, noise, the channel, its level."""
