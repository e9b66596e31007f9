"""Pictures of the report, as text that goes into the page."""

import base64
import io

import matplotlib
import numpy as np
import numpy.typing as npt
from markupsafe import Markup
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from PIL import Image

from codec.audio import FloatArray
from codec.training.metrics_log import Curve
from eval.pages.plots import DECODED, FAINT, MUTED, ORIGINAL, legend_above, style, svg

RANGE_DB, ERROR_DB = 80.0, 24.0
LARGEST = (480, 192)
"""Pixels of a spectrogram across and upwards."""
_ERROR_COLOURS = LinearSegmentedColormap.from_list(
    "error", ["#bfe3f5", "#3f8fc0", "#14323f", "#0b0b0d", "#4a1d10", "#d0602f", "#fbd9b5"]
)


def curves_svg(
    curves: dict[tuple[str, str], Curve], term: str, label: str, since: int | None, baseline: float | None
) -> Markup:
    """Training (fixed crops, evaluation mode) and validation over steps, the noise baseline, where the
    verdict began.
    """
    figure = Figure(figsize=(5.4, 3.3), layout="constrained")
    axes = figure.subplots()
    marker = "o" if max(len(curve) for key, curve in curves.items() if key[1] == term) < 40 else ""
    raw = curves.get(("train", term))
    if raw:
        axes.plot(raw.steps, raw.values, color=FAINT, lw=0.8, label="training batches")
    for split, name, colour in (("train_fixed", "training", ORIGINAL), ("val", "validation", DECODED)):
        if curve := curves.get((split, term)):
            axes.plot(curve.steps, curve.values, color=colour, lw=1.8, marker=marker, ms=3.5, label=name)
    if baseline is not None:
        axes.axhline(baseline, color=MUTED, lw=1, ls=(0, (1, 2.5)), label="shaped noise")
    if since is not None:
        axes.axvline(since, color=MUTED, lw=0.8, ls=(0, (4, 3)))
        axes.annotate(
            f"since step {since:,}", (since, 0), (4, 4), xycoords=("data", "axes fraction"),
            textcoords="offset points", va="bottom", color=MUTED, fontsize=9,
        )  # fmt: skip
    low, high = axes.get_ylim()
    if low > 0 and high / low > 3:  # from an untrained model's first value down, the end would lie on the axis
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    style(axes, "step", label)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    legend_above(figure)
    return svg(figure, f"curve-{term}", f"{label} in training and validation over steps")


def spectrogram_db(wave: FloatArray, sample_rate: int) -> npt.NDArray[np.float64]:
    """Power in dB ``[frequency, time]`` of the channels' mean: Hann windows of 32 ms, one every 8 ms."""
    size, hop = int(0.032 * sample_rate), int(0.008 * sample_rate)
    padded = np.pad(wave.mean(0), (size // 2, size))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    return 20 * np.log10(np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)).T + 1e-9)


def spectrogram_triple(original: FloatArray, decoded: FloatArray, sample_rate: int) -> list[str]:
    """Original, decode and their difference as data addresses. The difference is decode minus original,
    in dB.
    """
    first, second = (spectrogram_db(wave, sample_rate) for wave in (original, decoded))
    top = first.max()
    first, second = (np.clip(picture, top - RANGE_DB, top) for picture in (first, second))
    magma = matplotlib.colormaps["magma"]
    return [
        _picture(first, magma, top - RANGE_DB, top),
        _picture(second, magma, top - RANGE_DB, top),
        _picture(second - first, _ERROR_COLOURS, -ERROR_DB, ERROR_DB),
    ]


def _picture(levels: npt.NDArray[np.float64], colours: Colormap, low: float, high: float) -> str:
    """The lowest frequency at the bottom; WebP, a tenth of what PNG takes for noise."""
    pixels = colours((levels[::-1] - low) / (high - low), bytes=True)[..., :3]
    picture = Image.fromarray(pixels)
    picture = picture.resize(list(map(min, picture.size, LARGEST)), Image.Resampling.BOX)
    data = io.BytesIO()
    picture.save(data, format="webp", quality=65)
    return data_address("image/webp", data.getvalue())


def data_address(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
