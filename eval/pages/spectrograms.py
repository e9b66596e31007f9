"""Spectrograms of an original and its decode, as images within a page."""

import base64
import io

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.colors import Colormap, LinearSegmentedColormap
from PIL import Image

from codec.audio import FloatArray

_RANGE_DB, _ERROR_DB = 80.0, 24.0
_LARGEST_PIXELS = (480, 192)
"""Across and upwards."""
_ERROR_COLOURS = LinearSegmentedColormap.from_list(
    "error", ["#bfe3f5", "#3f8fc0", "#14323f", "#0b0b0d", "#4a1d10", "#d0602f", "#fbd9b5"]
)


def spectrogram_db(wave: FloatArray, sample_rate: int) -> npt.NDArray[np.float64]:
    """Compute a spectrogram of the mean of the channels: Hann windows of 32 ms, one every 8 ms.

    Args:
        wave: ``[channels, samples]``.
        sample_rate: sample rate in Hz.

    Returns:
        Power in dB ``[frequency, time]``.
    """
    size, hop = int(0.032 * sample_rate), int(0.008 * sample_rate)
    padded = np.pad(wave.mean(0), (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    return 20 * np.log10(np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)).T + 1e-9)


def spectrogram_images(original: FloatArray, decoded: FloatArray, sample_rate: int) -> list[str]:
    """Draw the spectrograms of an original, its decode, and of their difference.

    Args:
        original: ``[channels, samples]``.
        decoded: decoded waveform of the same shape.
        sample_rate: sample rate in Hz.

    Returns:
        The images as ``data:`` URLs: original, decode, and decode less original in dB.
    """
    first, second = (spectrogram_db(wave, sample_rate) for wave in (original, decoded))
    top = first.max()
    first, second = (np.clip(picture, top - _RANGE_DB, top) for picture in (first, second))
    magma = matplotlib.colormaps["magma"]
    return [
        _image(first, magma, top - _RANGE_DB, top),
        _image(second, magma, top - _RANGE_DB, top),
        _image(second - first, _ERROR_COLOURS, -_ERROR_DB, _ERROR_DB),
    ]


def _image(levels: npt.NDArray[np.float64], colours: Colormap, low: float, high: float) -> str:
    """Draw the lowest frequency at the bottom; as WebP, since PNG takes ten times as much for noise."""
    pixels = colours((levels[::-1] - low) / (high - low), bytes=True)[..., :3]
    image = Image.fromarray(pixels)
    image = image.resize(list(map(min, image.size, _LARGEST_PIXELS)), Image.Resampling.BOX)
    data = io.BytesIO()
    image.save(data, format="webp", quality=65)
    return data_url("image/webp", data.getvalue())


def data_url(media_type: str, content: bytes) -> str:
    """Return a URL that holds a file.

    Args:
        media_type: media type such as ``image/webp``.
        content: content of the file.

    Returns:
        A ``data:`` URL.
    """
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
