"""Augmentation: extends the training distribution to audio that the data lacks.

All random draws depend on the seed, the step and the name of the augmentation, so that a resumed run is augmented like
an uninterrupted one, and an additional augmentation changes no other. Each item of the batch is augmented with the
probability that the recipe gives. The result stays within [-1, 1]: an item that would exceed it is scaled down.
"""

import zlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from codec.config import AugmentConfig

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


def augment(wave: Tensor, config: AugmentConfig, sample_rate: int, seed: int, step: int) -> Tensor:
    """Augment a batch of waveforms.

    Args:
        wave: ``[batch, channels, samples]`` in [-1, 1]
        config: probability of each augmentation
        sample_rate: in Hz
        seed: seed of the run
        step: number of the batch

    Returns:
        The augmented batch in [-1, 1]; the input itself if all augmentations are off.

    >>> batch = torch.randn(2, 1, 1600).clamp(-1, 1)
    >>> once, again = (augment(batch, AugmentConfig(gain=1.0, noise=0.5), 16000, seed=0, step=7) for _ in range(2))
    >>> torch.equal(once, again), augment(batch, AugmentConfig(), 16000, seed=0, step=7) is batch
    (True, True)
    """
    changed = wave
    for name, apply in AUGMENTATIONS.items():
        share = getattr(config, name)
        if share > 0:
            rng = np.random.default_rng([seed, step, zlib.crc32(name.encode())])
            chosen = torch.from_numpy(rng.random(len(wave)) < share)
            changed = torch.where(chosen[:, None, None], apply(changed, rng, sample_rate), changed)
    if changed is wave:
        return wave
    return changed / changed.abs().amax((1, 2), keepdim=True).clamp(min=1.0)


def _uniform(rng: np.random.Generator, bounds: tuple[float, float], count: int) -> Tensor:
    """Draw uniform numbers ``[count, 1, 1]``."""
    return torch.from_numpy(rng.uniform(*bounds, count)).float()[:, None, None]


def _power(wave: Tensor) -> Tensor:
    return wave.square().mean((1, 2), keepdim=True)


def _add(wave: Tensor, other: Tensor, snr_db: Tensor) -> Tensor:
    ratio = _power(wave) / _power(other).clamp(min=QUIET) / 10 ** (snr_db / 10)
    return wave + other * ratio.sqrt()


def _filter(wave: Tensor, response: Tensor) -> Tensor:
    """Apply a zero-phase filter with gains ``[batch, 1, bins]`` at ``samples / 2 + 1`` bins."""
    return torch.fft.irfft(torch.fft.rfft(wave) * response, n=wave.shape[-1])


def _curve(rng: np.random.Generator, batch: int, points: int, spread: float, bins: int) -> Tensor:
    """Return smooth random gains in dB ``[batch, 1, bins]``: normal at ``points`` frequencies, linear in between."""
    values = torch.from_numpy(rng.normal(0, spread, (batch, 1, points))).float()
    return torch.nn.functional.interpolate(values, size=bins, mode="linear", align_corners=True)


def _gain(wave: Tensor, rng: np.random.Generator, sample_rate: int) -> Tensor:
    return wave * 10 ** (_uniform(rng, GAIN_DB, len(wave)) / 20)


def _quiet(wave: Tensor, rng: np.random.Generator, sample_rate: int) -> Tensor:
    """Lower the level far below the usual one, like recordings from a distance."""
    return wave * 10 ** (_uniform(rng, QUIET_DB, len(wave)) / 20)


def _noise(wave: Tensor, rng: np.random.Generator, sample_rate: int) -> Tensor:
    """Add noise of a random colour."""
    white = torch.from_numpy(rng.standard_normal(wave.shape, dtype=np.float32))
    colour = 10 ** (_curve(rng, len(wave), 3, 10.0, wave.shape[-1] // 2 + 1) / 20)
    return _add(wave, _filter(white, colour), _uniform(rng, NOISE_SNR_DB, len(wave)))


def _mix(wave: Tensor, rng: np.random.Generator, sample_rate: int) -> Tensor:
    """Add another item of the batch at a lower level."""
    return _add(wave, wave.roll(int(rng.integers(1, max(2, len(wave)))), 0), _uniform(rng, MIX_SNR_DB, len(wave)))


def _band_limit(wave: Tensor, rng: np.random.Generator, sample_rate: int) -> Tensor:
    bins = wave.shape[-1] // 2 + 1
    edge = _uniform(rng, BAND_LIMIT_SHARE, len(wave))
    # from full gain at the edge to none a tenth of the band above it
    return _filter(wave, ((edge - torch.linspace(0, 1, bins)) / 0.1 + 1).clamp(0, 1))


def _equaliser(wave: Tensor, rng: np.random.Generator, sample_rate: int) -> Tensor:
    decibel = _curve(rng, len(wave), EQUALISER_POINTS, EQUALISER_DB / 3, wave.shape[-1] // 2 + 1)
    return _filter(wave, 10 ** (decibel.clamp(-EQUALISER_DB, EQUALISER_DB) / 20))


def _reverb(wave: Tensor, rng: np.random.Generator, sample_rate: int) -> Tensor:
    """Add reverberation: decaying noise as impulse response, -60 dB after a random time, at a random wet share."""
    samples = wave.shape[-1]
    length = min(samples, round(REVERB_S[1] * sample_rate))
    time_s = torch.arange(length) / sample_rate
    decay = torch.exp(-6.9 * time_s / _uniform(rng, REVERB_S, len(wave)))  # ln(1000) = 6.9
    room = torch.from_numpy(rng.standard_normal((len(wave), 1, length), dtype=np.float32)) * decay
    size = samples + length
    tail = torch.fft.irfft(torch.fft.rfft(wave, n=size) * torch.fft.rfft(room, n=size), n=size)[..., :samples]
    wet = _uniform(rng, REVERB_WET, len(wave))
    return _add(wave * (1 - wet), tail, 20 * torch.log10((1 - wet) / wet))


AUGMENTATIONS: dict[str, Callable[[Tensor, np.random.Generator, int], Tensor]] = {
    "equaliser": _equaliser,
    "reverb": _reverb,
    "mix": _mix,
    "noise": _noise,
    "band_limit": _band_limit,
    "gain": _gain,
    "quiet": _quiet,
}
"""In the order in which audio meets them: voice, room, other sources, noise, the channel, its level."""
