"""The picture of a comparison: validation curves of its trainings."""

from pathlib import Path

from matplotlib.figure import Figure

from codec.training.metrics_log import Curve, read_curves
from eval.comparison.results import Comparison


def draw_curves(found: Comparison, path: Path) -> None:
    """Validation log-mel of every run against training time and against the audio it has heard."""
    figure = Figure(figsize=(11, 4.5), layout="constrained")
    by_time, by_audio = figure.subplots(1, 2, sharey=True)
    for number, entry in enumerate(found.candidates):
        for run in entry.runs:
            curves = read_curves(run.folder)
            mel, minutes = (curves.get(("val", term), Curve((), ())) for term in ("mel", "minutes"))
            label = entry.name if run is entry.runs[0] else None
            style = {"color": f"C{number % 10}", "ls": "-" if number < 10 else "--", "marker": ".", "lw": 1.3}
            by_time.plot([minutes.at(step) for step in mel.steps], mel.values, label=label, **style)
            heard = [step * run.audio_s / run.steps / 60 for step in mel.steps]
            by_audio.plot(heard, mel.values, **style)
    by_time.set_xlabel("minutes of training")
    by_audio.set_xlabel("minutes of audio heard")
    by_time.set_ylabel("log-mel distance, validation, all codebooks")
    for axes in (by_time, by_audio):
        axes.grid(alpha=0.3)
    if by_time.get_legend_handles_labels()[1]:
        by_time.legend(fontsize=8)
    figure.suptitle(found.title)
    figure.supxlabel(found.command, fontsize=7)
    figure.savefig(path, dpi=120, format="png")
