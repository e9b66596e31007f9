"""The report of an evaluation: one HTML file with all audio and pictures."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from codec.pretrained.registry import model_name
from codec.runtime.command import command_line
from codec.runtime.text import format_duration
from codec.training.fit_diagnosis import DIAGNOSIS_TERMS
from codec.training.metrics_log import read_curves
from eval.evaluation.formatting import describe_samples, format_value
from eval.evaluation.results import ClipResult, Difference, EvaluationResult
from eval.evaluation.screen_text import describe_history
from eval.metrics.confidence import describe_correction
from eval.metrics.registry import METRICS, Score, describe_editions, metric
from eval.pages.listening_examples import choose_listening_examples
from eval.pages.page import Tile, as_json, write_page
from eval.pages.plots import loss_curves_svg
from eval.pages.rate_distortion_plot import rate_figures, series_colours, shown_subsets
from eval.systems.baselines import CodedSystem
from eval.systems.own import CodedClip
from eval.systems.system import System

HEADLINE = ("pesq", "estoi", "visqol_speech", "visqol_audio")
_EQUAL = 1e-9
"""Differences that are rounding errors: the metrics have at most a few digits."""

_NEARLY = 0.03
"""Relative difference below which bit rates count as equal: as near as rate control comes to its target."""


def write_report(
    result: EvaluationResult, coded: Sequence[CodedClip], others: Sequence[CodedSystem], path: Path
) -> None:
    """Write the report.

    Args:
        result: result of the evaluation.
        coded: the clips as the model coded them, in the order of ``result.clips``; some of them can be listened to.
        others: the clips as the other systems coded them; the one with the nearest bit rate can be listened to.
        path: path of the HTML file.

    Raises:
        UserError: the file cannot be written.
    """
    concerned = [entry for entry in METRICS if _concerns(result, entry.name)]
    heard = choose_listening_examples(result.clips, _heard_systems(result, coded, others))
    rivals = [entry for entry in result.differences if entry.system != result.system]
    comparisons = difference_tables(rivals)
    rates = rate_figures(result.rates)
    recipe = Path(result.run) / "recipe.yaml"
    left_out = [
        name
        for name, there in (
            ("rates", rates),
            ("listen", heard.examples),
            ("systems", result.others or result.absent_systems),
        )
        if not there
    ]
    write_page(
        path,
        "report.html.j2",
        title=Path(result.run).name or result.run,
        kind="evaluation",
        made=result.made,
        result=result,
        row=result.main,
        history=describe_history(result),
        verdict=_verdict(result),
        summary=_summary(result),
        tiles=_tiles(result),
        left_out=left_out,
        metrics=concerned,
        measured=[entry for entry in concerned if entry.name not in result.absent],
        metric=metric,
        editions=[*describe_editions([entry.name for entry in concerned]), *describe_samples(result.main)],
        failures=_count_reasons(result.clips, lambda score: score.failed),
        undefined=_count_reasons(result.clips, lambda score: score.undefined),
        curves=rates,
        series=series_colours(result.rates),
        comparisons=comparisons,
        own_comparisons=difference_tables([entry for entry in result.differences if entry.system == result.system]),
        losses=_losses(result),
        listening=heard,
        nyquist_khz=result.trained.sample_rate / 2000,
        recipe=recipe.read_text(encoding="utf-8") if recipe.is_file() else "",
        commands=_commands(result),
        data=as_json(result.to_dict()),
    )


def _losses(result: EvaluationResult) -> list[Markup]:
    curves = read_curves(Path(result.run))
    noise = result.main.baseline.get("mel")
    return [
        loss_curves_svg(
            curves, term, label, result.diagnosis.since if term == result.diagnosis.term else None,
            noise.mean if term == "mel" and noise else None,
        )
        for term, label in zip(DIAGNOSIS_TERMS, ("mel distance", "total loss"))
        if ("val", term) in curves or ("train_fixed", term) in curves
    ]  # fmt: skip


def _heard_systems(
    result: EvaluationResult, coded: Sequence[CodedClip], others: Sequence[CodedSystem]
) -> dict[str, Sequence[CodedClip]]:
    """Return every system by its name and bit rate: ours first, those of an unknown rate last."""
    coders = [(row, entry) for row, entry in zip(result.others, others) if entry.system.kind != "original"]
    coders.sort(key=lambda one: -(one[0].kbps or 0.0))
    ours = {_rate_label(result.operating_point, result.kbps): coded}
    return ours | {_rate_label(row.name, row.kbps): entry.coded for row, entry in coders}


def _rate_label(name: str, kbps: float | None) -> str:
    return f"{name} · {'rate unknown' if kbps is None else f'{kbps:.2f} kbit/s'}"


@dataclass(frozen=True)
class SystemDifferences:
    """Our model at an operating point, compared with another system."""

    system: System
    kbps: float | None
    """Bit rate of the other system."""
    ours: str
    """Our operating point."""
    our_kbps: float | None
    found: dict[str, Difference]
    """Metric to difference."""


@dataclass(frozen=True)
class DifferenceTable:
    """All differences on some clips."""

    title: str
    """Names the clips."""
    metrics: list[str]
    pairs: list[SystemDifferences]
    significance: str
    """Criterion for marking a difference as significant."""


def difference_tables(differences: Sequence[Difference]) -> list[DifferenceTable]:
    """Group differences by the clips that they are about.

    Args:
        differences: differences of an evaluation.

    Returns:
        A table for each distribution and domain with a plot.
    """
    found = []
    for cell in shown_subsets(differences):
        here = [entry for entry in differences if cell.has(entry)]
        pairs: dict[System, SystemDifferences] = {}
        for entry in here:
            made = SystemDifferences(entry.identity, entry.kbps, entry.ours, entry.our_kbps, {})
            pairs.setdefault(entry.identity, made).found[entry.metric] = entry
        names = [entry.metric for entry in here]
        significance = describe_correction(here[0].comparisons)
        found.append(DifferenceTable(cell.title, names, list(pairs.values()), significance))
    return found


def _concerns(result: EvaluationResult, name: str) -> bool:
    """Return whether the metric was measured, was tried, or is not installed."""
    return name in result.absent or any(name in row.metrics or name in row.undefined for row in result.rows)


def _verdict(result: EvaluationResult) -> str:
    """Return one sentence: how good the model is, against the other system of the nearest bit rate if there is one."""
    row, pair = result.main, _nearest_pair(result)
    if pair is None:
        value = next((name for name in (*HEADLINE, "mel") if name in row.metrics), None)
        reached = f"reaches {metric(value).label} {format_value(value, row.metrics[value].mean)}" if value else "runs"
        name, kbps = result.system or "The model", row.kbps or result.kbps
        return f"{name} {reached} at {kbps:.2f} kbit/s, on {row.clips} clips."
    other = f"{pair.system.name} at {pair.kbps:.2f}"
    name = result.system or "the model"
    if all(abs(entry.mean) < _EQUAL for entry in pair.found.values()):
        return f"{name} at {pair.our_kbps:.2f} kbit/s has the same values as {other} by every metric: it decodes alike."
    kinds: dict[str, list[str]] = {"ours": [], "theirs": [], "": []}
    for measured in (*HEADLINE, "mel"):
        if measured in pair.found:
            kinds[pair.found[measured].better].append(metric(measured).label)
    said = [
        f"{words} by {', '.join(kinds[kind])}"
        for kind, words in (("ours", "is better"), ("theirs", "is worse"), ("", "does not differ significantly"))
        if kinds[kind]
    ]
    return f"Against {other} kbit/s, {name} at {pair.our_kbps:.2f} {', '.join(said) or 'shares no metric'}."


def _summary(result: EvaluationResult) -> list[str]:
    """Return a few sentences on the model, its training, quality, bit rate and speed."""
    made, row = result.trained, result.main
    channels = {1: "mono", 2: "stereo"}.get(made.channels, f"{made.channels}-channel")
    steps = "" if made.steps is None else f" for {made.steps:,} steps"
    domains = ", ".join(name or "unstated" for name in sorted(made.domains, key=lambda name: -made.domains[name]))
    audio = f"on {format_duration(made.seconds)} of audio ({domains}) from {made.groups:,} groups"
    text = [
        f"A codec for {made.sample_rate / 1000:g} kHz {channels} audio with {made.parameters / 1e6:.2f} "
        f"million parameters, trained{steps} {audio}."
    ]
    quality = [
        f"{metric(name).label} {format_value(name, row.metrics[name].mean)}" for name in HEADLINE if name in row.metrics
    ]
    if "mel" in row.metrics:
        mel = f"a mel distance of {format_value('mel', row.metrics['mel'].mean)}"
        if "mel" in row.baseline:
            mel += f" (matched noise: {format_value('mel', row.baseline['mel'].mean)})"
        quality.insert(0, mel)
    reaches = ", ".join(quality) or "no measured quality"
    unseen = " that it was not trained on" if _trained_here(result) else ""
    text.append(
        f"At {row.kbps or result.kbps:.2f} kbps, measured from file sizes, it reaches {reaches} "
        f"on {row.clips} clips of {row.groups} groups{unseen} ({row.name})."
    )
    if other := _nearest_pair(result):
        differences = ", ".join(
            _describe_difference(other.found[name]) for name in ("mel", *HEADLINE) if name in other.found
        )
        text.append(
            f"At {other.our_kbps:.2f} kbps it differs from {other.system.name} at {other.kbps:.2f}, clip by clip, by"
            f" {differences}."
        )
    encodes, decodes = result.encode_times_real_time, result.decode_times_real_time
    text.append(
        f"Through files and on one thread, it encodes {encodes:.0f} and decodes {decodes:.0f} times as fast as real"
        f" time; its algorithmic delay is {made.latency_ms:.0f} ms."
    )
    return text


def _nearest_pair(result: EvaluationResult) -> SystemDifferences | None:
    """Return the other system that is nearest in bit rate to one of our operating points, on the summary's clips.

    Of bit rates that are nearly equal, those of the first operating point are chosen, which the report is about.
    """
    comparisons = difference_tables([entry for entry in result.differences if entry.system != result.system])
    pairs = [pair for pair in comparisons[0].pairs if pair.our_kbps and pair.kbps] if comparisons else []

    def distance(pair: SystemDifferences) -> float:
        return max(_NEARLY, abs(math.log((pair.our_kbps or 1) / (pair.kbps or 1))))

    return min(pairs, key=distance, default=None)


def _describe_difference(found: Difference) -> str:
    def signed(value: float) -> str:
        return f"{value:+.{metric(found.metric).digits}f}"

    text = f"{metric(found.metric).label} {signed(found.mean)}"
    return text if found.low is None or found.high is None else f"{text} ({signed(found.low)} to {signed(found.high)})"


def _tiles(result: EvaluationResult) -> list[Tile]:
    row = result.main
    shown = [Tile("Real bit rate", f"{row.kbps or result.kbps:.2f}", "kbit/s")]
    for name in ("mel", *HEADLINE):
        if name in row.metrics and len(shown) < 5:
            noise = row.baseline.get(name)
            note = f"matched noise: {format_value(name, noise.mean)}" if noise else metric(name).unit
            shown.append(Tile(metric(name).label, format_value(name, row.metrics[name].mean), note))
    shown.append(Tile("Decoding speed", f"{result.decode_times_real_time:.0f}×", "real time"))
    return shown


def _count_reasons(clips: Sequence[ClipResult], kind: Callable[[Score], bool]) -> list[str]:
    """Count the clips whose scores are of a kind, by the reason; with the metrics."""
    places: dict[str, set[int]] = {}
    names: dict[str, dict[str, None]] = {}
    for number, clip in enumerate(clips):
        for name, score in clip.scores.items():
            if kind(score):
                places.setdefault(score.reason, set()).add(number)
                names.setdefault(score.reason, {})[metric(name).label] = None
    return [f"{len(places[reason])} × {reason} ({', '.join(names[reason])})" for reason in places]


def _commands(result: EvaluationResult) -> list[str]:
    """Return the commands that train the model again, unless it is a built-in one, and repeat the evaluation."""
    run, data = result.run, result.data
    train = command_line("codec", "train", f"{run}/recipe.yaml", "--data", data, "--run", f"{run}-again")
    return [*([train] if _trained_here(result) else []), result.command]


def _trained_here(result: EvaluationResult) -> bool:
    """Return whether the model was trained on this data; a built-in model was not."""
    return model_name(Path(result.run)) == result.run
