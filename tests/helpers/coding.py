"""Helpers of the tests that encode and decode files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from codec.config import CodecConfig, NetworkConfig, QuantizerConfig
from codec.errors import UserError
from codec.model.codec import Codec


def wire_codec(codebooks: int = 16, contexts: int = 1) -> Codec:
    """Make a codec that is almost a wire: its linear skip paths pass on their input, its blocks add next to nothing."""
    network = NetworkConfig(width=8, depth=1, kernel=3, expansion=1)
    quantizer = QuantizerConfig(kind="fsq", codebooks=codebooks, levels=(9, 9, 9, 9), groups=8, contexts=contexts)
    config = CodecConfig(hop=16, frames_per_latent=2, encoder=network, decoder=network, quantizer=quantizer)
    torch.manual_seed(0)
    codec = Codec(config).eval().requires_grad_(False)
    for stack in (codec.encoder, codec.decoder):
        torch.nn.init.eye_(stack.direct)
        stack.last.weight.mul_(0.01)
        stack.last.bias.zero_()
    return codec


def band_noise(channels: int, samples: int, rate: int, seed: int = 0) -> np.ndarray:
    """Make noise below 2 kHz, another one in each channel: float32 ``[channels, samples]``."""
    wave = np.random.default_rng(seed).standard_normal((channels, samples))
    if samples > 1000:
        spectrum = np.fft.rfft(wave)
        spectrum[:, np.fft.rfftfreq(samples, 1 / rate) > 2000] = 0
        wave = np.fft.irfft(spectrum, samples)
        wave /= wave.std()
    return (0.1 * wave).astype(np.float32)


def write_band_noise(
    path: Path, channels: int = 1, samples: int = 4000, rate: int = 16000, seed: int = 0
) -> np.ndarray:
    """Write :func:`band_noise` to a file with 16 bits per sample, and return it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = band_noise(channels, samples, rate, seed)
    soundfile.write(path, wave.T, rate, subtype="PCM_16")
    return wave


def file_names(folder: Path) -> list[str]:
    """List all files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def read_files(folder: Path) -> dict[str, bytes]:
    """Read all files below a folder, by their paths in it."""
    return {name: (folder / name).read_bytes() for name in file_names(folder)}


def error_of(function: Callable[..., object], *arguments: object, **options: object) -> str:
    """Call a function that must raise a ``UserError`` of one line, and return its message."""
    with pytest.raises(UserError) as error:
        function(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def write_noise(
    path: Path, seconds: float = 0.5, rate: int = 16000, channels: int = 1, gain: float = 0.1, **how: str
) -> Path:
    """Write white noise, which depends on the length of the name; ``how`` sets format and subtype."""
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.random.default_rng(len(path.name)).uniform(-1, 1, (int(seconds * rate), channels))
    soundfile.write(path, gain * wave, rate, **how)
    return path
