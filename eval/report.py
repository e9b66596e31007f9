"""One HTML file that holds everything, sounds and pictures too, and loads nothing from anywhere."""

import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codec import audio
from codec.training.curves import read_curves
from codec.training.diagnosis import TERMS
from eval.coding import CodedClip
from eval.figures import curves_svg, data_address, spectrogram_triple
from eval.html import as_json, duration, write_page
from eval.metrics import METRICS, metric
from eval.results import ClipResult, EvaluationResult, format_value

SOUNDS = 6
EXCERPT_SECONDS = 8.0
EXCERPT_SECONDS_FULL_BAND = 5.0
"""Of clips above 24 kHz, to keep the file small enough to send."""
HEADLINE = ("pesq", "estoi", "visqol_speech", "visqol_audio")


@dataclass(frozen=True)
class Example:
    """A clip to listen to: ``original`` and ``decoded`` are FLAC data addresses, the pictures PNG ones, or
    none.
    """

    clip: ClipResult
    rank: str
    seconds: float
    original: str
    decoded: str
    pictures: list[str]


def write_report(result: EvaluationResult, coded: Sequence[CodedClip], path: Path) -> None:
    """Renders ``result`` with the sounds of ``coded`` (same order as ``result.clips``) to ``path``."""
    curves = read_curves(Path(result.run))
    noise = result.main.baseline.get("mel")
    pictures = [
        curves_svg(
            curves, term, label, result.diagnosis.since if term == result.diagnosis.term else None,
            noise.mean if term == "mel" and noise else None,
        )
        for term, label in zip(TERMS, ("mel distance", "total loss"))
        if ("val", term) in curves or ("train_fixed", term) in curves
    ]  # fmt: skip
    recipe = Path(result.run) / "recipe.yaml"
    write_page(
        path,
        "report.html.j2",
        title=result.run,
        kind="evaluation",
        made=result.made,
        result=result,
        row=result.main,
        summary=summary(result),
        tiles=tiles(result),
        metrics=[entry for entry in METRICS if _concerns(result, entry.name)],
        metric=metric,
        failures=failures(result),
        curves=pictures,
        examples=examples(result, coded),
        nyquist_khz=result.trained.sample_rate / 2000,
        recipe=recipe.read_text(encoding="utf-8") if recipe.is_file() else "",
        commands=commands(result),
        data=as_json(result.to_dict()),
    )


def _concerns(result: EvaluationResult, name: str) -> bool:
    """Whether the metric was measured, or tried, or missed."""
    return name in result.absent or any(name in row.metrics or name in row.failed for row in result.rows)


def summary(result: EvaluationResult) -> list[str]:
    """Three sentences or so: what was trained, on what, how good, how small, how fast."""
    made, row = result.trained, result.main
    channels = {1: "mono", 2: "stereo"}.get(made.channels, f"{made.channels}-channel")
    steps = "" if made.steps is None else f" for {made.steps:,} steps"
    domains = ", ".join(name or "unstated" for name in sorted(made.domains, key=lambda name: -made.domains[name]))
    text = [
        f"A codec for {made.sample_rate / 1000:g} kHz {channels} sound with {made.parameters / 1e6:.2f} "
        f"million parameters, trained{steps} on {duration(made.seconds)} of audio ({domains}) from "
        f"{made.groups:,} groups."
    ]
    quality = [
        f"{metric(name).label} {format_value(name, row.metrics[name].mean)}" for name in HEADLINE if name in row.metrics
    ]
    if "mel" in row.metrics:
        mel = f"a mel distance of {format_value('mel', row.metrics['mel'].mean)}"
        if "mel" in row.baseline:
            mel += f" (shaped noise: {format_value('mel', row.baseline['mel'].mean)})"
        quality.insert(0, mel)
    reaches = ", ".join(quality) or "no measured quality"
    text.append(
        f"At {result.kbps:.2f} kbps, measured from file sizes, it reaches {reaches} "
        f"on {row.clips} clips of {row.groups} groups that it never saw ({row.name})."
    )
    encodes, decodes = result.encode_times_real_time, result.decode_times_real_time
    text.append(
        f"It encodes {encodes:.0f} and decodes {decodes:.0f} times as fast as the sound plays, on one "
        f"thread, with {made.latency_ms:.0f} ms of delay."
    )
    return text


@dataclass(frozen=True)
class Tile:
    label: str
    value: str
    note: str


def tiles(result: EvaluationResult) -> list[Tile]:
    """The figures that stand large below the summary."""
    row = result.main
    shown = [Tile("Real bit rate", f"{result.kbps:.2f}", "kbit/s")]
    for name in ("mel", *HEADLINE):
        if name in row.metrics and len(shown) < 5:
            noise = row.baseline.get(name)
            note = f"noise: {format_value(name, noise.mean)}" if noise else metric(name).unit
            shown.append(Tile(metric(name).label, format_value(name, row.metrics[name].mean), note))
    shown.append(Tile("Decoding speed", f"{result.decode_times_real_time:.0f}×", "real time"))
    return shown


def failures(result: EvaluationResult) -> list[str]:
    """Why metrics have no value for some clips: reason, number of clips, and which metrics."""
    clips: dict[str, set[int]] = {}
    names: dict[str, dict[str, None]] = {}
    for number, clip in enumerate(result.clips):
        for name, score in clip.scores.items():
            if score.value is None:
                clips.setdefault(score.reason, set()).add(number)
                names.setdefault(score.reason, {})[metric(name).label] = None
    return [f"{len(clips[reason])} × {reason} ({', '.join(names[reason])})" for reason in clips]


def examples(result: EvaluationResult, coded: Sequence[CodedClip]) -> list[Example]:
    """Best, median and worst by mel distance, with pictures; then one of each other domain, and others
    between.
    """
    order = [i for i, clip in enumerate(result.clips) if clip.scores["mel"].value is not None]
    order.sort(key=lambda i: result.clips[i].scores["mel"].value or 0.0)
    if not order:
        return []
    places = {0: "best", len(order) // 2: "median", len(order) - 1: "worst"}
    chosen = list(places)
    for domain in sorted({clip.domain for clip in result.clips}):
        its = [place for place, i in enumerate(order) if result.clips[i].domain == domain]
        if its and not set(its) & set(chosen):
            chosen.append(its[len(its) // 2])
    quantiles = [round(share * (len(order) - 1)) for share in (0.25, 0.75, 0.1, 0.9)]
    chosen += [place for place in dict.fromkeys(quantiles) if place not in chosen]
    return [
        _example(
            result.clips[order[place]],
            coded[order[place]],
            places.get(place, f"{place + 1} of {len(order)}"),
            place in places,
        )
        for place in sorted(chosen[:SOUNDS])
    ]


def _example(clip: ClipResult, coded: CodedClip, rank: str, pictures: bool) -> Example:
    first, second = audio.read(coded.original), audio.read(coded.decoded)
    rate = first.sample_rate
    length = int((EXCERPT_SECONDS if rate <= 24000 else EXCERPT_SECONDS_FULL_BAND) * rate)
    original, decoded = first.samples[:, :length], second.samples[:, :length]
    return Example(
        clip, rank, original.shape[1] / rate, _flac(original, rate), _flac(decoded, rate),
        spectrogram_triple(original, decoded, rate) if pictures else [],
    )  # fmt: skip


def _flac(wave: audio.FloatArray, sample_rate: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.flac"
        audio.write(path, wave, sample_rate)
        return data_address("audio/flac", path.read_bytes())


def commands(result: EvaluationResult) -> list[str]:
    """What makes model and report again."""
    run, data = result.run, result.data
    return [
        shlex.join(["codec", "train", f"{run}/recipe.yaml", "--data", data, "--run", f"{run}-again"]),
        result.command,
    ]
