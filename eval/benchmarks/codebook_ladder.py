"""What each codebook adds: validation quality with 1, 2, … codebooks in every frame, and the steps between."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from tqdm import tqdm

from codec.bitstream.range_coder import RangeCoder
from codec.model.codec import Codec
from codec.pretrained.loaded_model import LoadedModel
from eval.benchmarks.validation_table import make_parser, print_table
from eval.evaluation.candidate_scoring import Excerpt
from eval.metrics.bootstrap import PairedDifference, describe_correction, paired_difference, significant_signs
from eval.metrics.registry import describe_editions, metric
from eval.pages.text_table import Table

METRICS = ("mel", "estoi", "pesq")
CLIPS = 48


def ladder(codec: Codec, clips: Sequence[Excerpt]) -> Table:
    """Means over clips; in brackets the difference to the row above, paired by clip, with its 95 % t interval over
    the clips' groups. kbps: codes of a clip as one packet, ideally coded under the model's tables."""
    rate, most, coder = codec.config.sample_rate, codec.config.quantizer.codebooks, LoadedModel(codec).coder
    used = [metric(name) for name in METRICS if not metric(name).absent]
    scores = np.full((most, len(used), len(clips)), np.nan)
    kbps = np.zeros(most)
    for place, clip in enumerate(tqdm(clips, desc="what each codebook adds", unit="clip")):
        wave = torch.from_numpy(np.ascontiguousarray(clip.wave[None, :1]))
        codes = codec.encode(wave)
        for number in range(1, most + 1):
            decoded = codec.decode(codes[:, :number], wave.shape[-1])[0].numpy()
            kbps[number - 1] += _kbps(coder, codes[:, :number].numpy(), wave.shape[-1] / rate) / len(clips)
            for which, entry in enumerate(used):
                value = entry.score(clip.wave[:1], decoded, rate).value
                scores[number - 1, which, place] = np.nan if value is None else value
    groups = {str(place): clip.group for place, clip in enumerate(clips)}

    def steps(which: int) -> list[PairedDifference | None]:
        """From each row to the next."""
        by_clip = [
            {name: float(value) if np.isfinite(value) else None for name, value in zip(groups, row)}
            for row in scores[:, which]
        ]
        return [paired_difference(now, before, groups) for before, now in pairwise(by_clip)]

    found = [[None, *steps(which)] for which in range(len(used))]
    tested = [difference for column in found for difference in column if difference is not None]
    signs = significant_signs(tested)
    rows = []
    for number in range(most):
        cells = [str(number + 1), f"{kbps[number]:.2f}"]
        for which in range(len(used)):
            cell = f"{np.nanmean(scores[number, which]):.3f}"
            step = found[which][number]
            if step is not None and step.low is not None and step.high is not None:
                cell += f" ({step.mean:+.3f}: {step.low:+.3f} to {step.high:+.3f})"
            cells.append(cell)
        rows.append(cells)
    note = (
        f"{len(clips)} validation clips of {len(set(groups.values()))} speakers or recordings. In brackets: the step"
        " from the row above, paired by clip, with its 95 % t interval over them, each by itself."
        f" {sum(sign != 0 for sign in signs)} of {len(signs)} steps are {describe_correction(len(signs))}."
        + "".join(f" {line}." for line in describe_editions([entry.name for entry in used]))
    )
    return Table("What each codebook adds", note, ["codebooks", "kbps", *(entry.label for entry in used)], rows)


def _kbps(coder: RangeCoder, codes: np.ndarray, seconds: float) -> float:
    return coder.bits(codes, variable=False) / seconds / 1000


def main() -> None:
    parser = make_parser("eval.benchmarks.codebook_ladder", __doc__, CLIPS)
    print_table(parser.parse_args(), ladder)


if __name__ == "__main__":
    main()
