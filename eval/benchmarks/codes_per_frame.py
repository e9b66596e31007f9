"""Quality over the mean number of codes per frame, chosen by importance as at a limited bit rate.

``python -m eval.benchmarks.codes_per_frame MODEL --data DIR`` prints the table. It compares latents, quantizers and
trainings without fitted frequency tables: one threshold of importance holds for all clips, and the mean number of codes
stands for the bit rate. :mod:`eval.benchmarks.codebook_gains` has the same number of codes in every frame.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from codec.audio import FloatArray
from codec.bitstream.codes import NO_CODE, CodesWithImportance
from codec.errors import UserError
from codec.model.codec import Codec
from codec.runtime.progress import ProgressBar
from eval.benchmarks.validation_table import make_parser, mean_cells, print_table
from eval.evaluation.clip_selection import Excerpt
from eval.metrics.registry import metric
from eval.pages.text_table import Table
from eval.systems.bounds import bounds_of, missing_bounds

_METRICS = ("pesq", "stoi", "estoi", "mel")
_CLIPS = 24
CODES = (3.0, 6.0, 12.0, 18.0, 24.0)


def measure_quality_over_codes(codec: Codec, clips: Sequence[Excerpt], numbers: Sequence[float] = CODES) -> Table:
    """Code clips with several mean numbers of codes per frame.

    Args:
        codec: codec in evaluation mode.
        clips: clips whose first channel is coded.
        numbers: mean numbers of codes per frame, over all clips; at most the model's number of codebooks.

    Returns:
        A row for each number, and one for each bound of :mod:`eval.systems.bounds`: the mean of each installed metric
        with its 95 % interval over the clips' groups.

    Raises:
        UserError: a number is not from 0 to the model's number of codebooks.
    """
    rate = codec.config.sample_rate
    used = [metric(name) for name in _METRICS if not metric(name).absent]
    waveforms = [np.ascontiguousarray(clip.waveform[:1]) for clip in clips]
    bounds = bounds_of(codec)
    groups, rows = [clip.group for clip in clips], []
    with ProgressBar(total=(len(numbers) + len(bounds)) * len(clips), desc="codes per frame", unit="clip") as bar:

        def row(name: str, decoded: Sequence[FloatArray]) -> list[str]:
            scores = []
            for waveform, output in zip(waveforms, decoded):
                scores.append([entry.score(waveform, output, rate).value for entry in used])
                bar.update()
            return [name, *mean_cells(used, scores, groups)]

        for number, decoded in code_by_importance(codec, waveforms, numbers):
            rows.append(row(f"{number:g}", decoded))
        for bound in bounds:
            rows.append(row(bound.name, [bound.decode(codec, waveform) for waveform in waveforms]))
    note = (
        f"{len(clips)} validation clips of {len(set(groups))} groups. Codes are chosen by one threshold of importance"
        " for all. The last rows are bounds, see eval.systems.bounds."
        + "".join(f" {name} is absent: {why}." for name, why in missing_bounds(codec).items())
    )
    return Table("Quality over codes per frame", note, ["codes", *(entry.label for entry in used)], rows)


def code_by_importance(
    codec: Codec, waveforms: Sequence[FloatArray], numbers: Sequence[float]
) -> Iterator[tuple[float, list[FloatArray]]]:
    """Encode and decode waveforms with the most important codes of all.

    Args:
        codec: codec in evaluation mode.
        waveforms: each ``[1, samples]``.
        numbers: mean numbers of codes per frame, over all waveforms.

    Yields:
        Each number with the decoded waveforms, each ``[1, samples]``.

    Raises:
        UserError: a number is not from 0 to the model's number of codebooks.
    """
    most = codec.config.quantizer.codebooks
    if not all(0 < number <= most for number in numbers):
        raise UserError(f"--codes must be above 0 and at most {most}, the number of codebooks of this model")
    coded = [_encode(codec, waveform) for waveform in waveforms]
    importances = np.concatenate([each.importances.ravel() for each in coded])
    for number in numbers:
        threshold = np.quantile(importances, 1 - number / most)
        yield number, [_decode(codec, *each, threshold) for each in zip(coded, waveforms)]


def _encode(codec: Codec, waveform: FloatArray) -> CodesWithImportance:
    stream = codec.stream_encoder(1)
    return CodesWithImportance.join([stream.push(waveform[None]), stream.flush()])


def _decode(codec: Codec, coded: CodesWithImportance, waveform: FloatArray, threshold: float) -> FloatArray:
    codes = np.where(coded.importances >= threshold, coded.codes, NO_CODE)
    return codec.decode(torch.from_numpy(codes), waveform.shape[-1])[0].numpy()


def _main() -> None:
    parser = make_parser(
        "eval.benchmarks.codes_per_frame",
        "Print the quality of a model on validation clips at several mean numbers of codes per frame.",
        _CLIPS,
    )
    parser.add_argument(
        "--codes", type=float, nargs="+", default=CODES, metavar="N", help="mean numbers of codes (default: 3 to 24)"
    )
    arguments = parser.parse_args()
    print_table(arguments, lambda codec, clips: measure_quality_over_codes(codec, clips, arguments.codes))


if __name__ == "__main__":
    _main()
