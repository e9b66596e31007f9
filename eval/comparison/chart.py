"""The chart of a comparison: validation curves of all its trainings."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from codec.training.metrics_log import Curve, read_curves
from eval.comparison.results import ComparisonResult, TrainedRun


def write_curves(result: ComparisonResult, path: Path) -> None:
    """Write the log-mel distance of each run over training time and over the audio that it has learnt from, as PNG.

    Args:
        result: results of the comparison.
        path: file to write.
    """
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    by_time, by_audio = figure.subplots(1, 2, sharey=True)
    for number, candidate in enumerate(result.candidates):
        style: dict[str, Any] = {
            "color": f"C{number % 10}",
            "ls": "-" if number < 10 else "--",
            "marker": ".",
            "lw": 1.3,
        }
        for run in candidate.runs:
            label = candidate.name if run is candidate.runs[0] else None
            _draw_run(by_time, by_audio, run, {**style, "label": label})
    by_time.set_xlabel("minutes of training")
    by_audio.set_xlabel("minutes of audio learnt from")
    by_time.set_ylabel("log-mel distance, validation, all codebooks")
    for axes in (by_time, by_audio):
        axes.grid(alpha=0.3)
    if by_time.get_legend_handles_labels()[1]:
        by_time.legend(fontsize=8)
    figure.suptitle(result.title)
    figure.supxlabel(result.command, fontsize=7)
    figure.savefig(path, dpi=120, format="png")


def _draw_run(by_time: Axes, by_audio: Axes, run: TrainedRun, style: dict[str, Any]) -> None:
    curves = read_curves(run.folder)
    mel, minutes = (curves.get(("val", term), Curve((), ())) for term in ("mel", "minutes"))
    by_time.plot([minutes.at(step) for step in mel.steps], mel.values, **style)
    by_audio.plot([step * run.audio_s / run.steps / 60 for step in mel.steps], mel.values, **style)
