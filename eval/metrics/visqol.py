"""ViSQOL v3, for speech at 16 kHz and for any audio at 48 kHz, from the package ``visqol-python``.

M. Chinen et al., "ViSQOL v3: An open source production ready objective speech and audio metric", QoMEX 2020.
"""

import functools
from typing import Any

import numpy as np
import torch

from codec.audio import FloatArray, resample
from eval.metrics.metric import SPEECH_HZ, Metric
from eval.metrics.speech import to_speech_rate

_AUDIO_HZ = 48000


def visqol_speech(reference: FloatArray, decoded: FloatArray, sample_rate: int) -> float:
    """Compute ViSQOL in its speech mode, of the mean of the channels at 16 kHz.

    Args:
        reference: ``[channels, samples]``.
        decoded: decoded waveform of the same shape.
        sample_rate: sample rate in Hz.

    Returns:
        MOS-LQO, from 1 to 5.
    """
    waves = [to_speech_rate(wave, sample_rate) for wave in (reference, decoded)]
    return _mos("speech", waves[0], waves[1], SPEECH_HZ)


def visqol_audio(reference: FloatArray, decoded: FloatArray, sample_rate: int) -> float:
    """Compute ViSQOL in its audio mode, of the mean of the channels at 48 kHz.

    Args:
        reference: ``[channels, samples]``.
        decoded: decoded waveform of the same shape.
        sample_rate: sample rate in Hz.

    Returns:
        MOS-LQO, from 1 to about 4.7.
    """
    waves = [resample(wave.mean(0)[None], sample_rate, _AUDIO_HZ)[0] for wave in (reference, decoded)]
    return _mos("audio", waves[0], waves[1], _AUDIO_HZ)


@functools.cache
def _api(mode: str) -> Any:
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode=mode, use_lattice_model=False)  # the lattice mapping is not monotonic in noise
    return api


def _mos(mode: str, reference: FloatArray, decoded: FloatArray, sample_rate: int) -> float:
    threads = torch.get_num_threads()
    try:
        waves = (wave.astype(np.float64) for wave in (reference, decoded))
        return _api(mode).measure_from_arrays(*waves, sample_rate).moslqo
    finally:
        torch.set_num_threads(threads)  # numba, starting its own, changes them to one per core


VISQOL_SPEECH = Metric(
    "visqol_speech",
    "ViSQOL speech",
    "higher",
    visqol_speech,
    "MOS",
    shortest_s=3.0,
    rejects_silence=True,
    use="speech",
    package="visqol",
    about="16 kHz, exponential mapping",
    worst=1.0,
)
VISQOL_AUDIO = Metric(
    "visqol_audio",
    "ViSQOL audio",
    "higher",
    visqol_audio,
    "MOS",
    shortest_s=3.0,
    rejects_silence=True,
    use="audio",
    package="visqol",
    about="at 48 kHz, against the reference at the codec's rate",
    worst=1.0,
)
