"""Quality over level: the same validation clips, coded at RMS levels from loud to quiet.

``python -m eval.benchmarks.levels MODEL --data DIR`` prints the table. Decoded audio is amplified to the clip's own
level before it is scored, as a listener would turn the volume up. A codec whose quality does not depend on the level
has the same values in all rows.
"""

from collections.abc import Sequence

import numpy as np
import torch

from codec.model.codec import Codec
from codec.pretrained.loaded_model import LoadedModel
from codec.runtime.progress import ProgressBar
from eval.benchmarks.validation_table import make_parser, mean_cells, print_table
from eval.evaluation.clip_selection import Excerpt
from eval.metrics.registry import metric
from eval.pages.text_table import Table

_METRICS = ("pesq", "estoi", "mel")
_CLIPS = 24
LEVELS_DBFS = (-20.0, -30.0, -40.0, -45.0, -50.0, -55.0, -60.0)


def measure_quality_over_level(
    codec: Codec, clips: Sequence[Excerpt], levels_dbfs: Sequence[float] = LEVELS_DBFS
) -> Table:
    """Code clips at several levels with all codebooks.

    Args:
        codec: codec in evaluation mode.
        clips: clips whose first channel is coded. Digital silence has no level and is left out.
        levels_dbfs: RMS levels in dB relative to full scale. A clip that would exceed full scale is as loud as it can
            be without clipping.

    Returns:
        A row for each level: bit rate if each clip is one packet, and the mean of each installed metric with its 95 %
        interval over the clips' groups.
    """
    rate, coder = codec.config.sample_rate, LoadedModel(codec).coder
    used = [metric(name) for name in _METRICS if not metric(name).absent]
    waveforms = [(clip.waveform[:1], clip.group) for clip in clips if np.abs(clip.waveform[:1]).max() > 0]
    groups, rows = [group for _, group in waveforms], []
    for level in ProgressBar(levels_dbfs, desc="levels", unit="level"):
        scores = []
        bits = seconds = 0.0
        for waveform, _ in waveforms:
            gain = np.float32(min(10 ** (level / 20) / _rms(waveform), 1 / np.abs(waveform).max()))
            codes = codec.encode(torch.from_numpy(gain * waveform)[None])
            decoded = (codec.decode(codes, waveform.shape[-1])[0] / float(gain)).numpy()
            bits += coder.bits(codes.numpy(), variable=False)
            seconds += waveform.shape[-1] / rate
            scores.append([entry.score(waveform, decoded, rate).value for entry in used])
        rows.append([f"{level:g}", f"{bits / seconds / 1000:.2f}", *mean_cells(used, scores, groups)])
    note = f"{len(waveforms)} validation clips of {len(set(groups))} groups, coded with all codebooks."
    return Table("Quality over level", note, ["RMS, dBFS", "kbps", *(entry.label for entry in used)], rows)


def _rms(waveform: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def _main() -> None:
    parser = make_parser(
        "eval.benchmarks.levels",
        "Print the quality of a model on validation clips coded at several RMS levels and scored at their own.",
        _CLIPS,
    )
    parser.add_argument(
        "--levels", type=float, nargs="+", default=LEVELS_DBFS, metavar="DBFS", help="RMS levels (default: -20 to -60)"
    )
    arguments = parser.parse_args()
    print_table(arguments, lambda codec, clips: measure_quality_over_level(codec, clips, arguments.levels))


if __name__ == "__main__":
    _main()
