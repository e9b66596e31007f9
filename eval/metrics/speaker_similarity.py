"""Speaker similarity: the cosine of speaker embeddings of the original and the decoded audio.

L. Wan et al., "Generalized end-to-end loss for speaker verification", ICASSP 2018, in the form and with the weights of
Resemblyzer 0.1: a network of 1.4 million parameters, trained on English speech. Only its file of weights is read, since
the package itself needs a voice activity detector, which has no use here: both waveforms have the same pauses.
"""

import functools
import importlib.util
from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from codec.audio import FloatArray
from eval.metrics.metric import SPEECH_HZ, Metric
from eval.metrics.speech import to_speech_rate

_PACKAGE = "resemblyzer"
_WINDOW_FRAMES, _STEP_FRAMES = 160, 77
"""Length of the windows that are embedded one by one, and their distance, in frames of 10 ms."""
_HOP, _FFT, _BANDS = 160, 400, 40
"""Hop, window length in samples, and bands of the mel spectrogram."""
_MIN_COVERAGE = 0.75
"""The last window is left out if less than this share of it lies in the clip."""
_MIN_DBFS = -30.0
"""Quieter clips are amplified to this RMS level."""


class _SpeakerEncoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_BANDS, 256, 3, batch_first=True)
        self.linear = nn.Linear(256, 256)

    def forward(self, mels: Tensor) -> Tensor:
        """Embed windows ``[windows, frames, bands]`` as unit vectors ``[windows, 256]`` without negative components."""
        _, (hidden, _) = self.lstm(mels)
        return nn.functional.normalize(torch.relu(self.linear(hidden[-1])), dim=1)


@functools.cache
def _load_encoder() -> _SpeakerEncoder:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"No module named '{_PACKAGE}'", name=_PACKAGE)
    weights = torch.load(Path(spec.origin).with_name("pretrained.pt"), map_location="cpu", weights_only=True)
    encoder = _SpeakerEncoder()
    encoder.load_state_dict(
        {name: value for name, value in weights["model_state"].items() if name in encoder.state_dict()}
    )
    return encoder.eval()


def _window_starts(samples: int) -> range:
    """Return the first frames of the windows."""
    frames = samples // _HOP + 1
    starts = range(0, max(1, frames - _WINDOW_FRAMES + _STEP_FRAMES + 1), _STEP_FRAMES)
    covered = (samples - _HOP * starts[-1]) / (_HOP * _WINDOW_FRAMES)
    return starts if len(starts) == 1 or covered >= _MIN_COVERAGE else starts[:-1]


@torch.no_grad()
def embed_speaker(wave: FloatArray) -> npt.NDArray[np.float32]:
    """Embed the voice of a waveform.

    Args:
        wave: ``[samples]`` at 16 kHz, not silent.

    Returns:
        Unit vector ``[256]``, the normalised mean over windows of 1.6 s; no component is negative.

    Raises:
        ModuleNotFoundError: Resemblyzer is not installed.
    """
    level = 10 * np.log10(np.mean(np.square(wave, dtype=np.float64)))
    louder = wave * np.float32(10 ** (max(0.0, _MIN_DBFS - level) / 20))
    starts = _window_starts(len(louder))
    end = _HOP * (starts[-1] + _WINDOW_FRAMES)
    padded = np.pad(louder, (0, max(0, end - len(louder))))
    power = librosa.feature.melspectrogram(y=padded, sr=SPEECH_HZ, n_fft=_FFT, hop_length=_HOP, n_mels=_BANDS)
    windows = np.stack([power.T[start : start + _WINDOW_FRAMES] for start in starts])
    mean = _load_encoder()(torch.from_numpy(windows)).mean(0)
    return nn.functional.normalize(mean, dim=0).numpy()


def speaker_similarity(reference: FloatArray, decoded: FloatArray, sample_rate: int) -> float:
    """Compute the cosine of the speaker embeddings of the mean of the channels at 16 kHz.

    Args:
        reference: ``[channels, samples]``.
        decoded: decoded waveform of the same shape.
        sample_rate: sample rate in Hz.

    Returns:
        The cosine, from 0 to 1.
    """
    first, second = (embed_speaker(to_speech_rate(wave, sample_rate)) for wave in (reference, decoded))
    return float(first @ second)


SPEAKER_SIMILARITY = Metric(
    "speaker_similarity",
    "Speaker similarity",
    "higher",
    speaker_similarity,
    digits=3,
    shortest_s=1.6,
    rejects_silence=True,
    use="speech",
    package=_PACKAGE,
    install="pip install --no-deps resemblyzer",
    about="cosine of the speaker embeddings of a small network (Resemblyzer); another voice has about 0.55",
    worst=0.0,
)
