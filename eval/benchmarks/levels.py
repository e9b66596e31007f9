"""Quality of a model over the level of what it codes: the same validation clips, at RMS levels from loud to quiet.

``python -m eval.benchmarks.levels MODEL --data DIR`` prints a table. What is decoded is brought back to the clip's
own level
before it is scored, as by a listener who turns the volume up: a codec that does not care for level has the same values
in all rows.
"""

from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm

from codec.model.codec import Codec
from codec.pretrained.loaded_model import LoadedModel
from eval.benchmarks.validation_table import make_parser, print_table
from eval.evaluation.candidate_scoring import Excerpt
from eval.evaluation.results import format_estimate
from eval.metrics.bootstrap import estimate
from eval.metrics.registry import metric
from eval.pages.text_table import Table

METRICS = ("pesq", "estoi", "mel")
LEVELS_DBFS = (-20.0, -30.0, -40.0, -45.0, -50.0, -55.0, -60.0)
CLIPS = 24


def levels(codec: Codec, clips: Sequence[Excerpt], levels_dbfs: Sequence[float] = LEVELS_DBFS) -> Table:
    """Codes the clips at each of the levels with all codebooks.

    Args:
        codec: in evaluation mode.
        clips: their first channel is used; digital silence has no level, and is left out.
        levels_dbfs: RMS levels. Where a clip would exceed full scale, it is as loud as it can be.

    Returns:
        A row for each level: kbps of the codes, a clip being a packet, and the mean of each installed metric of
        :data:`METRICS` with its 95 % interval over the clips' groups.
    """
    rate, coder = codec.config.sample_rate, LoadedModel(codec).coder
    used = [metric(name) for name in METRICS if not metric(name).absent]
    waves = [(clip.wave[:1], clip.group) for clip in clips if np.abs(clip.wave[:1]).max() > 0]
    rows = []
    for level in tqdm(levels_dbfs, desc="levels", unit="level"):
        values: dict[str, list[tuple[float, str]]] = {entry.name: [] for entry in used}
        bits = seconds = 0.0
        for wave, group in waves:
            gain = np.float32(min(10 ** (level / 20) / _rms(wave), 1 / np.abs(wave).max()))
            codes = codec.encode(torch.from_numpy(gain * wave)[None])
            decoded = (codec.decode(codes, wave.shape[-1])[0] / float(gain)).numpy()
            bits += coder.bits(codes.numpy(), variable=False)
            seconds += wave.shape[-1] / rate
            for entry in used:
                value = entry.score(wave, decoded, rate).value
                if value is not None:
                    values[entry.name].append((value, group))
        cells = [f"{level:g}", f"{bits / seconds / 1000:.2f}"]
        for entry in used:
            found = estimate([value for value, _ in values[entry.name]], [group for _, group in values[entry.name]])
            cells.append("–" if found is None else format_estimate(entry.name, found))
        rows.append(cells)
    note = f"{len(waves)} validation clips of {len({group for _, group in waves})} groups, with all codebooks."
    return Table("Quality over level", note, ["RMS, dBFS", "kbps", *(entry.label for entry in used)], rows)


def _rms(wave: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def main() -> None:
    parser = make_parser("eval.benchmarks.levels", __doc__, CLIPS)
    parser.add_argument("--levels", type=float, nargs="+", default=LEVELS_DBFS, metavar="DBFS", help="RMS levels")
    arguments = parser.parse_args()
    print_table(arguments, lambda codec, clips: levels(codec, clips, arguments.levels))


if __name__ == "__main__":
    main()
