"""What a model codes as a waveform, and what it only imitates: signal-to-noise ratio and level by frequency band.

``python -m eval.benchmarks.frequency_bands MODEL --data DIR`` prints the table. A band whose signal-to-noise ratio is
near or below 0 dB is not coded as a waveform: its level may be right, its phases are not. Where it stays so without
quantizer, more bits cannot help, and the latent has to be wider.
"""

from collections.abc import Sequence
from itertools import pairwise

import librosa
import numpy as np

from codec.audio import FloatArray
from codec.errors import UserError
from codec.model.codec import Codec
from codec.runtime.progress import ProgressBar
from eval.benchmarks.codes_per_frame import CODES, code_by_importance
from eval.benchmarks.validation_table import make_parser, print_table
from eval.evaluation.clip_selection import Excerpt
from eval.pages.text_table import Table
from eval.systems.bounds import WITHOUT_QUANTIZER

EDGES_HZ = (0, 300, 600, 1000, 1500, 2000, 2800, 4000, 6000, 8000, 12000, 16000, 24000)
"""Edges of the bands; those above half the sample rate are left out."""

_WINDOW = 512
_ACTIVE = 0.5
"""Share of the frames of a clip, the loudest ones, that count."""
_SILENCE = 1e-12
_CLIPS = 12


def measure_bands(original: FloatArray, decoded: FloatArray, sample_rate: int) -> tuple[FloatArray, FloatArray]:
    """Measure the signal-to-noise ratio and the level of each band in the louder half of the frames.

    Args:
        original: waveform ``[samples]``.
        decoded: waveform of the same length.
        sample_rate: sample rate in Hz.

    Returns:
        Means over frames of the signal-to-noise ratio, and of the level relative to the original, both in dB
        ``[bands]``.
    """
    spectra = [librosa.stft(wave, n_fft=_WINDOW, center=False) for wave in (original, decoded)]
    frequencies = librosa.fft_frequencies(sr=sample_rate, n_fft=_WINDOW)
    power, noise, level = (np.abs(each) ** 2 for each in (spectra[0], spectra[1] - spectra[0], spectra[1]))
    loudness = power.sum(0)
    active = loudness >= np.quantile(loudness, 1 - _ACTIVE)

    def by_band(values: FloatArray) -> FloatArray:
        index = np.digitize(frequencies, bands(sample_rate)) - 1
        sums = np.stack([values[index == band][:, active].sum(0) for band in range(len(bands(sample_rate)) - 1)])
        return np.maximum(sums, _SILENCE)

    reference = by_band(power)
    return tuple(10 * np.log10(ratio).mean(1) for ratio in (reference / by_band(noise), by_band(level) / reference))


def bands(sample_rate: int) -> list[float]:
    """Return the edges of the bands at a sample rate.

    Args:
        sample_rate: sample rate in Hz.

    Returns:
        Frequencies in Hz, of which the last is half the sample rate.
    """
    return [*(edge for edge in EDGES_HZ if edge < sample_rate / 2), sample_rate / 2]


def tabulate_bands(codec: Codec, clips: Sequence[Excerpt], numbers: Sequence[float] = CODES) -> Table:
    """Code clips with several mean numbers of codes per frame, and measure their bands.

    Args:
        codec: codec in evaluation mode.
        clips: clips whose first channel is coded.
        numbers: mean numbers of codes per frame, over all clips; at most the model's number of codebooks.

    Returns:
        A row for each number and one for the model without quantizer; each cell is the mean signal-to-noise ratio and
        the mean level of a band.

    Raises:
        UserError: a number is not from 0 to the model's number of codebooks, or a clip is shorter than one frame.
    """
    rate = codec.config.sample_rate
    waveforms = [np.ascontiguousarray(clip.waveform[:1]) for clip in clips]
    if any(waveform.shape[-1] < _WINDOW for waveform in waveforms):
        raise UserError(f"a validation clip is shorter than {_WINDOW} samples; prepare longer clips")
    systems = {f"{number:g}": decoded for number, decoded in code_by_importance(codec, waveforms, numbers)}
    systems[WITHOUT_QUANTIZER.name] = [WITHOUT_QUANTIZER.decode(codec, waveform) for waveform in waveforms]
    rows = []
    for name, decoded in ProgressBar(systems.items(), desc="frequency bands"):
        pairs = [measure_bands(each[0], output[0], rate) for each, output in zip(waveforms, decoded)]
        snr, level = np.mean(pairs, 0)
        rows.append([name, *(f"{ratio:.1f} / {gain:+.1f}" for ratio, gain in zip(snr, level))])
    edges = bands(rate)
    columns = [f"{low:g}–{high:g} Hz" for low, high in pairwise(edges)]
    note = (
        f"{len(clips)} validation clips, the louder half of their frames. Each cell is the signal-to-noise ratio and"
        " the level relative to the original, means over frames in dB. Codes are chosen as in"
        " eval.benchmarks.codes_per_frame."
    )
    return Table("Frequency bands", note, ["codes", *columns], rows)


def _main() -> None:
    parser = make_parser(
        "eval.benchmarks.frequency_bands",
        "Print signal-to-noise ratio and level by frequency band, at several mean numbers of codes per frame.",
        _CLIPS,
    )
    parser.add_argument(
        "--codes", type=float, nargs="+", default=CODES, metavar="N", help="mean numbers of codes (default: 3 to 24)"
    )
    arguments = parser.parse_args()
    print_table(arguments, lambda codec, clips: tabulate_bands(codec, clips, arguments.codes))


if __name__ == "__main__":
    _main()
