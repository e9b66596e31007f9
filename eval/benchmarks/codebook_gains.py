"""Per-codebook quality gain: validation quality with the first 1, 2, … codebooks, the gain of each one added, and the
bounds of the model.

``python -m eval.benchmarks.codebook_gains MODEL --data DIR`` prints the table.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from codec.audio import FloatArray
from codec.model.codec import Codec
from codec.pretrained.loaded_model import LoadedModel
from codec.runtime.progress import ProgressBar
from eval.benchmarks.validation_table import make_parser, print_table
from eval.evaluation.clip_selection import Excerpt
from eval.metrics.confidence import PairedDifference, describe_correction, paired_difference, significant_signs
from eval.metrics.registry import Metric, describe_editions, metric
from eval.pages.text_table import Table
from eval.systems.bounds import bounds_of

_METRICS = ("mel", "stoi", "estoi", "pesq")
_CLIPS = 48


@dataclass(frozen=True)
class _Scores:
    """``values`` ``[codebooks, metrics, clips]`` and ``bounds`` ``[bounds, metrics, clips]``, NaN if undefined."""

    metrics: list[Metric]
    values: npt.NDArray[np.float64]
    bounds: npt.NDArray[np.float64]
    kbps: npt.NDArray[np.float64]
    """``[codebooks]``."""


def measure_codebook_gains(codec: Codec, clips: Sequence[Excerpt]) -> Table:
    """Measure the quality that each codebook adds.

    Args:
        codec: codec in evaluation mode.
        clips: clips whose first channel is coded.

    Returns:
        A row for each number of codebooks: bit rate if each clip is one packet, ideally coded under the model's tables,
        and the mean of each installed metric. In brackets is the difference to the row above, paired by clip, with its
        95 % t interval over the clips' groups. The last rows are the bounds of :mod:`eval.systems.bounds`.
    """
    scores, limits = _score(codec, clips), bounds_of(codec)
    groups = {str(index): clip.group for index, clip in enumerate(clips)}
    gains = [[None, *_gains(scores.values[:, which], groups)] for which in range(len(scores.metrics))]
    signs = significant_signs([gain for column in gains for gain in column if gain is not None])
    rows = [
        [str(number + 1), f"{scores.kbps[number]:.2f}"]
        + [_cell(scores.values[number, which], column[number]) for which, column in enumerate(gains)]
        for number in range(len(scores.kbps))
    ]
    rows += [[bound.name, "", *(_cell(row, None) for row in values)] for bound, values in zip(limits, scores.bounds)]
    note = (
        f"{len(clips)} validation clips of {len(set(groups.values()))} speakers or recordings. In brackets: the gain"
        " over the row above, paired by clip, with its 95 % t interval over speakers or recordings, each by itself."
        f" {sum(sign != 0 for sign in signs)} of {len(signs)} gains are {describe_correction(len(signs))}."
        " The last rows are bounds without a bit rate: the decoder with continuous latents and, unless training changed"
        f" it, the linear transform of {codec.config.quantizer.dimension} dimensions alone."
        + "".join(f" {line}." for line in describe_editions([entry.name for entry in scores.metrics]))
    )
    header = ["codebooks", "kbps", *(entry.label for entry in scores.metrics)]
    return Table("Quality gain of each codebook", note, header, rows)


def _score(codec: Codec, clips: Sequence[Excerpt]) -> _Scores:
    rate, most, coder = codec.config.sample_rate, codec.config.quantizer.codebooks, LoadedModel(codec).coder
    used = [metric(name) for name in _METRICS if not metric(name).absent]
    values = np.full((most, len(used), len(clips)), np.nan)
    limits, kbps = bounds_of(codec), np.zeros(most)
    bounds = np.full((len(limits), *values.shape[1:]), np.nan)

    def score(clip: Excerpt, decoded: FloatArray) -> list[float]:
        found = (entry.score(clip.waveform[:1], decoded, rate).value for entry in used)
        return [np.nan if value is None else value for value in found]

    for index, clip in enumerate(ProgressBar(clips, desc="codebook gains", unit="clip")):
        waveform = torch.from_numpy(np.ascontiguousarray(clip.waveform[None, :1]))
        samples, codes = waveform.shape[-1], codec.encode(waveform)
        for number in range(1, most + 1):
            decoded = codec.decode(codes[:, :number], samples)[0].numpy()
            bits = coder.bits(codes[:, :number].numpy(), variable=False)
            kbps[number - 1] += bits / (samples / rate) / 1000 / len(clips)
            values[number - 1, :, index] = score(clip, decoded)
        for number, bound in enumerate(limits):
            bounds[number, :, index] = score(clip, bound.decode(codec, clip.waveform[:1]))
    return _Scores(used, values, bounds, kbps)


def _gains(values: npt.NDArray[np.float64], groups: dict[str, str]) -> list[PairedDifference | None]:
    """Return the differences from each row of ``values`` ``[codebooks, clips]`` to the next."""
    by_clip = [
        {name: float(value) if np.isfinite(value) else None for name, value in zip(groups, row)} for row in values
    ]
    return [paired_difference(now, before, groups) for before, now in pairwise(by_clip)]


def _cell(values: npt.NDArray[np.float64], gain: PairedDifference | None) -> str:
    text = f"{np.nanmean(values):.3f}"
    if gain is not None and gain.low is not None and gain.high is not None:
        text += f" ({gain.mean:+.3f}: {gain.low:+.3f} to {gain.high:+.3f})"
    return text


def _main() -> None:
    parser = make_parser(
        "eval.benchmarks.codebook_gains",
        "Print the quality of a model on validation clips with the first 1, 2, … codebooks of every frame, and the gain"
        " of each codebook.",
        _CLIPS,
    )
    print_table(parser.parse_args(), measure_codebook_gains)


if __name__ == "__main__":
    _main()
