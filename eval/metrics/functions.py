"""The functions behind the metrics: of a reference, a decode and a sample rate in Hz, without the guards.

Waveforms are float32 ``[channels, samples]``. What a function cannot judge it raises for, or returns a value that is
not finite; :mod:`eval.metrics.registry` has the guards.
"""

import functools
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from codec.audio import resample
from codec.audio.statistics import AudioMeter
from codec.losses import mel_distance, nmr, stft_distance
from eval.metrics.programme_loudness import loudness_lufs

Wave = npt.NDArray[np.float32]
Function = Callable[[Wave, Wave, int], float]
"""Reference, decode, sample rate in Hz."""
SPEECH_HZ, VISQOL_HZ = 16000, 48000


def mono(wave: Wave) -> Wave:
    """``[channels, samples]`` to ``[samples]``."""
    return wave.mean(0)


def si_sdr_db(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al. 2019), means removed, all channels as one
    signal.
    """
    target = (reference - reference.mean(1, keepdims=True)).astype(np.float64).ravel()
    estimate = (decoded - decoded.mean(1, keepdims=True)).astype(np.float64).ravel()
    projection = (estimate @ target) / (target @ target) * target
    error = estimate - projection
    return 10 * math.log10((projection @ projection + 1e-20) / (error @ error + 1e-20))


def mean_absolute_error(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    return float(np.mean(np.abs(reference - decoded), dtype=np.float64))


def mean_squared_error(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    return float(np.mean(np.square(reference - decoded), dtype=np.float64))


def _at_speech_rate(wave: Wave, sample_rate: int) -> Wave:
    return resample(mono(wave)[None], sample_rate, SPEECH_HZ)[0]


def pesq_wb(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    from pesq import pesq

    return pesq(SPEECH_HZ, _at_speech_rate(reference, sample_rate), _at_speech_rate(decoded, sample_rate), "wb")


def stoi_16k(reference: Wave, decoded: Wave, sample_rate: int, extended: bool = False) -> float:
    from pystoi import stoi

    waves = (_at_speech_rate(wave, sample_rate) for wave in (reference, decoded))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # it warns, and returns 1e-5, where too little is not silent
        return stoi(*waves, SPEECH_HZ, extended=extended)


def estoi_16k(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    return stoi_16k(reference, decoded, sample_rate, extended=True)


@functools.cache
def _visqol(mode: str) -> Any:
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode=mode, use_lattice_model=False)  # the lattice mapping is not monotonic in noise
    return api


def _visqol_mos(mode: str, reference: Wave, decoded: Wave, sample_rate: int) -> float:
    threads = torch.get_num_threads()
    try:
        waves = (wave.astype(np.float64) for wave in (reference, decoded))
        return _visqol(mode).measure_from_arrays(*waves, sample_rate).moslqo
    finally:
        torch.set_num_threads(threads)  # numba, starting its own, changes them to one per core


def visqol_speech(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    waves = [_at_speech_rate(wave, sample_rate) for wave in (reference, decoded)]
    return _visqol_mos("speech", waves[0], waves[1], SPEECH_HZ)


def visqol_audio(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    waves = [resample(mono(wave)[None], sample_rate, VISQOL_HZ)[0] for wave in (reference, decoded)]
    return _visqol_mos("audio", waves[0], waves[1], VISQOL_HZ)


def _batch(wave: Wave) -> torch.Tensor:
    """``[channels, 1, samples]``, as :mod:`codec.losses` wants it: the channels are the batch."""
    return torch.from_numpy(np.ascontiguousarray(wave))[:, None]


def mel(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    return float(mel_distance(_batch(decoded), _batch(reference), sample_rate))


def stft(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    return float(stft_distance(_batch(decoded), _batch(reference), sample_rate))


def noise_to_mask(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    return float(nmr(_batch(decoded), _batch(reference), sample_rate))


def loudness_difference_lu(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    first, second = (loudness_lufs(wave, sample_rate) for wave in (reference, decoded))
    if first is None or second is None:
        raise ValueError("no loudness: all below the gate of BS.1770")
    return abs(second - first)


def bandwidth_khz(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    meter = AudioMeter(sample_rate)
    meter.push(decoded)
    return meter.bandwidth_hz / 1000
