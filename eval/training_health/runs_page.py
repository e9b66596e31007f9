"""The page of several runs beside each other (``codec report RUN RUN``)."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
from markupsafe import Markup

from codec import audio
from codec.audio.resampling import resample
from codec.runtime.command import command_line
from codec.training.metrics_log import TRAINING_EVALUATION, VALIDATION, Curve
from codec.training.run_folder import ORIGINAL_FOLDER, SOUNDS_FOLDER, audio_sample_folder, audio_sample_folders
from eval.evaluation.paired_evaluations import EvaluatedTogether, describe_evaluations
from eval.pages.page import write_page
from eval.pages.paired_table import paired_table
from eval.pages.players import ORIGINAL, AudioVersion, PlayedClip
from eval.pages.plots import Line, overlaid_curves_svg
from eval.pages.spectrograms import data_url
from eval.pages.text_table import Table
from eval.training_health.run_comparison import (
    ComparedRun,
    compare_evaluated_runs,
    losses_are_comparable,
    read_runs,
    recipe_differences,
)

_SAME = 0.9
"""Correlation from which on two originals, at different sample rates, are the same clip."""
_TERMS = ("total", "mel")
"""Losses that are drawn."""


def write_runs_page(folders: Sequence[Path], out: Path) -> str:
    """Write a page that compares runs.

    Args:
        folders: their folders, at least two; differences are to the first.
        out: the HTML file.

    Returns:
        The verdict, one sentence.

    Raises:
        UserError: there are fewer than two runs, a folder holds none, or the file cannot be written.
    """
    runs = read_runs(folders)
    evaluated, comparable = compare_evaluated_runs(runs), losses_are_comparable(runs)
    verdict = describe_runs(runs, evaluated, comparable)
    about_losses = (
        ""
        if comparable
        else "They are of other crops or sums of other terms, so compare their course, not their values."
    )
    write_page(
        out,
        "runs.html.j2",
        title=" and ".join(run.name for run in runs) if len(runs) == 2 else ", ".join(run.name for run in runs),
        kind="runs",
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        verdict=verdict,
        clips=_clips(runs),
        runs=_runs_table(runs),
        quality=paired_table(evaluated) if evaluated else None,
        without_quality=_ask_for_evaluations(runs),
        curves=_curves(runs),
        about_losses=about_losses,
        recipes=Table(
            "Recipes",
            "Settings in which the recipes differ.",
            ["setting", *(run.name for run in runs)],
            [[name, *values] for name, values in recipe_differences(runs)],
        ),
        command=command_line("codec", "report", *folders, "--out", out),
    )
    return verdict


def describe_runs(runs: Sequence[ComparedRun], evaluated: EvaluatedTogether | None, comparable: bool) -> str:
    """Say in one sentence how the runs compare.

    Args:
        runs: the runs.
        evaluated: their evaluations on common clips, if there are any.
        comparable: whether their losses can be compared.

    Returns:
        The verdict.
    """
    if evaluated is not None:
        return describe_evaluations(evaluated)
    known = [run for run in runs if run.best_loss is not None]
    if not comparable or len(known) < len(runs):
        why = "not all have one yet" if comparable else "their data, crops or terms differ"
        return f"The losses of these runs cannot be compared: {why}. Nor were they evaluated on the same clips."
    best, second = sorted(known, key=lambda run: run.best_loss or 0.0)[:2]
    assert best.best_loss is not None and second.best_loss is not None
    below = 1 - best.best_loss / second.best_loss
    return (
        f"{best.name} has the lowest validation loss, {best.best_loss:.4g}, {below:.1%} below {second.name}; an"
        " evaluation of all shows whether it sounds better."
    )


def _runs_table(runs: Sequence[ComparedRun]) -> Table:
    head = ["", *(run.name for run in runs)]
    rows = [["sample rate, Hz", *(f"{run.recipe.codec.sample_rate:,}" for run in runs)]]
    rows.append(["nominal kbit/s", *(f"{_nominal_kbps(run):.2f}" for run in runs)])
    rows.append(["frames per second", *(f"{run.recipe.codec.frame_rate_hz:g}" for run in runs)])
    rows.append(["latency, ms", *(f"{run.recipe.codec.latency_ms:.0f}" for run in runs)])
    rows.append(["M parameters", *(f"{run.recipe.codec.trained_count / 1e6:.2f}" for run in runs)])
    rows.append(["steps", *(f"{run.health.standing.step:,}" if run.health.standing else "–" for run in runs)])
    minutes = [run.curves.get((VALIDATION, "minutes")) for run in runs]
    rows.append(["minutes of training", *("–" if curve is None else f"{curve.values[-1]:.1f}" for curve in minutes)])
    rows.append(["step of the model", *("–" if run.best_step is None else f"{run.best_step:,}" for run in runs)])
    rows.append(["its validation loss", *("–" if run.best_loss is None else f"{run.best_loss:.4g}" for run in runs)])
    rows.append(["fit", *(run.health.diagnosis.verdict for run in runs)])
    note = "Nominal: codes of fixed width, one channel. Each run has a page of its own, health.html."
    return Table("Runs", note, head, rows)


def _nominal_kbps(run: ComparedRun) -> float:
    return run.recipe.codec.kbps_per_codebook * run.recipe.codec.quantizer.codebooks


def _ask_for_evaluations(runs: Sequence[ComparedRun]) -> str:
    commands = "; ".join(
        command_line("codec", "evaluate", run.folder, "--data", "DATA", "--split", "val") for run in runs
    )
    return f"Paired differences by metrics stand here when all runs have been evaluated on the same split: {commands}"


def _curves(runs: Sequence[ComparedRun]) -> list[Markup]:
    figures = []
    for term in _TERMS:
        there = {run.name: run.curves[VALIDATION, term] for run in runs if (VALIDATION, term) in run.curves}
        if len(there) < 2:
            continue
        key = (TRAINING_EVALUATION, term)
        fixed = {run.name: run.curves[key] for run in runs if key in run.curves}
        label = "all terms, weighted" if term == "total" else term
        figures.append(overlaid_curves_svg(_lines(there), _lines(fixed), label, "step"))
        by_minutes = {run.name: _over_minutes(run, there[run.name]) for run in runs if run.name in there}
        known = {name: curve for name, curve in by_minutes.items() if curve is not None}
        if len(known) == len(there):
            figures.append(overlaid_curves_svg(known, {}, label, "minute"))
    return figures


def _lines(curves: Mapping[str, Curve]) -> dict[str, Line]:
    return {name: Line(curve.steps, curve.values) for name, curve in curves.items()}


def _over_minutes(run: ComparedRun, curve: Curve) -> Line | None:
    minutes = run.curves.get((VALIDATION, "minutes"))
    if minutes is None or not set(curve.steps) <= set(minutes.steps):
        return None
    at = dict(zip(minutes.steps, minutes.values))
    return Line(tuple(at[step] for step in curve.steps), curve.values)


def _clips(runs: Sequence[ComparedRun]) -> list[PlayedClip]:
    """Return the clips that all runs have decoded, each with the original and the versions of all."""
    sounds = [run.folder / SOUNDS_FOLDER for run in runs]
    first = sounds[0] / ORIGINAL_FOLDER
    clips: list[PlayedClip] = []
    for original in sorted(first.glob("clip_*.flac")):
        if not all(_is_same_clip(original, folder / ORIGINAL_FOLDER / original.name) for folder in sounds[1:]):
            continue
        versions = [AudioVersion(ORIGINAL, data_url("audio/flac", original.read_bytes()))]
        for run, folder in zip(runs, sounds):
            steps = audio_sample_folders(folder)
            step = run.best_step if run.best_step in steps else max(steps, default=0)
            decoded = audio_sample_folder(folder, step or 0) / original.name
            if decoded.is_file():
                versions.append(AudioVersion(run.name, data_url("audio/flac", decoded.read_bytes())))
        clips.append(PlayedClip(f"Clip {len(clips) + 1}", audio.info(original).seconds or 0.0, versions))
    return clips


def _is_same_clip(one: Path, other: Path) -> bool:
    if not other.is_file():
        return False
    first, second = audio.read(one), audio.read(other)
    rate = min(first.sample_rate, second.sample_rate)
    waves = [resample(found.samples.mean(0, keepdims=True), found.sample_rate, rate)[0] for found in (first, second)]
    length = min(len(wave) for wave in waves)
    if length == 0 or abs(len(waves[0]) - len(waves[1])) > rate // 50:
        return False
    norms = [float(np.linalg.norm(wave[:length])) for wave in waves]
    return float(waves[0][:length] @ waves[1][:length]) >= _SAME * norms[0] * norms[1]
