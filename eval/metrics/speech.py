"""Metrics of speech at 16 kHz: PESQ (quality) and STOI (intelligibility)."""

import warnings

from codec.audio import FloatArray, resample
from eval.metrics.metric import SPEECH_HZ, Metric

PESQ_EDITION = "ITU-T P.862.2 without Corrigendum 2"
"""The edition that the package ``pesq`` 0.0.4 computes, and with it most published figures. Corrigendum 2 (2018)
corrects the level of wide-band signals; the same pairs score 0.3 to 1.0 higher with it."""
_INTELLIGIBILITY = "intelligibility, 0 to 1"


def to_speech_rate(wave: FloatArray, sample_rate: int) -> FloatArray:
    """Downmix to one channel and resample to 16 kHz.

    Args:
        wave: ``[channels, samples]``.
        sample_rate: sample rate in Hz.

    Returns:
        ``[samples]``.
    """
    return resample(wave.mean(0)[None], sample_rate, SPEECH_HZ)[0]


def pesq_wb(reference: FloatArray, decoded: FloatArray, sample_rate: int) -> float:
    """Compute the wide-band PESQ of the mean of the channels at 16 kHz (ITU-T P.862.2, see :data:`PESQ_EDITION`).

    Args:
        reference: ``[channels, samples]``.
        decoded: decoded waveform of the same shape.
        sample_rate: sample rate in Hz.

    Returns:
        MOS-LQO, from 1.04 to 4.64.
    """
    from pesq import pesq

    return pesq(SPEECH_HZ, to_speech_rate(reference, sample_rate), to_speech_rate(decoded, sample_rate), "wb")


def stoi_16k(reference: FloatArray, decoded: FloatArray, sample_rate: int, extended: bool = False) -> float:
    """Compute the short-time objective intelligibility of the mean of the channels at 16 kHz.

    C. H. Taal et al., IEEE Trans. ASLP 19, 2011; extended: J. Jensen, C. H. Taal, IEEE/ACM Trans. ASLP 24, 2016.

    Args:
        reference: ``[channels, samples]``.
        decoded: decoded waveform of the same shape.
        sample_rate: sample rate in Hz.
        extended: compute ESTOI.

    Returns:
        About 0 to 1.
    """
    from pystoi import stoi

    waves = (to_speech_rate(wave, sample_rate) for wave in (reference, decoded))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # it warns, and returns 1e-5, where too little is not silent
        return stoi(*waves, SPEECH_HZ, extended=extended)


def _estoi_16k(reference: FloatArray, decoded: FloatArray, sample_rate: int) -> float:
    return stoi_16k(reference, decoded, sample_rate, extended=True)


PESQ = Metric(
    "pesq",
    "PESQ-WB",
    "higher",
    pesq_wb,
    "MOS",
    shortest_s=3.0,
    rejects_silence=True,
    use="speech",
    package="pesq",
    about=f"{PESQ_EDITION}, at 16 kHz",
    worst=1.0,
    longest_s=15.0,
    edition=PESQ_EDITION,
)
ESTOI = Metric(
    "estoi",
    "ESTOI",
    "higher",
    _estoi_16k,
    digits=3,
    shortest_s=3.0,
    rejects_silence=True,
    use="speech",
    package="pystoi",
    about=_INTELLIGIBILITY,
    worst=0.0,
)
STOI = Metric(
    "stoi",
    "STOI",
    "higher",
    stoi_16k,
    digits=3,
    shortest_s=3.0,
    rejects_silence=True,
    use="speech",
    package="pystoi",
    about=_INTELLIGIBILITY,
    worst=0.0,
)
