"""Is a run all right? Read from what it wrote while it trained, whether it goes on or has ended.

Each topic gives a finding: *good*, *watch* or *bad*, or that nothing was recorded, as in runs of earlier versions. The
bounds below are rules of thumb; what they are compared with is said beside them.
"""

import contextlib
import statistics
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import numpy as np

from codec.config import Recipe
from codec.errors import UserError
from codec.pretrained.checkpoint import read_info
from codec.recipe import read_recipe
from codec.runtime.text import format_duration
from codec.training.fit_diagnosis import Diagnosis, diagnose_curves, still_falling
from codec.training.metrics_log import METRICS_FILE, Curve, Curves, comparable_curves, read_curves
from codec.training.run_folder import TrainingResult, earlier_recipes, read_result
from codec.training.status import (
    COLLAPSED_BELOW,
    TrainingStatus,
    codebook_curves,
    explain_best,
    speed_curve,
    training_status,
)

State = Literal["good", "watch", "bad", "unknown"]

RISING = 3.0
"""Median gradient norm of the last quarter over that of the second quarter."""
THIN = 0.5
"""Share of the entries in use, below which, on average, codebooks are larger than they need be."""
ALL_CLIPPED = 0.98
"""Share of clipped steps above which the gradient's direction alone counts."""
TELLS_ALL, TELLS_NOTHING = 0.95, 0.55
"""Share of judgements, in the last quarter, in which the discriminator is right."""
SLOWED = 0.7
"""Speed in the last quarter over that before."""


@dataclass(frozen=True)
class Finding:
    topic: str
    state: State
    text: str
    advice: str = ""


@dataclass(frozen=True)
class RunHealth:
    """``standing`` and ``diagnosis`` are those of the last validation."""

    run: str
    made: str
    progress: str
    """In progress, or ended and why."""
    best: str
    """Why the weights of one step were kept."""
    diagnosis: Diagnosis
    standing: TrainingStatus | None
    findings: list[Finding]

    @property
    def state(self) -> State:
        """The worst that was found; not good before there is a verdict on the fit."""
        states = {finding.state for finding in self.findings}
        worst: tuple[State, ...] = ("bad", "watch") if self._undecided else ("bad", "watch", "good")
        return next((state for state in worst if state in states), "unknown")

    @property
    def answer(self) -> str:
        """One sentence."""
        amiss = [finding.topic for finding in self.findings if finding.state == self.state]
        so_far = "It is too early for a verdict" if self._undecided else "Nothing is broken"
        return {
            "good": "This run is all right.",
            "watch": f"{so_far}, but look at: {', '.join(amiss)}.",
            "bad": f"This run is not all right: {', '.join(amiss)}.",
            "unknown": "Too early to say whether this run is all right.",
        }[self.state]

    @property
    def _undecided(self) -> bool:
        return self.diagnosis.verdict == "undecided"

    def text(self) -> str:
        lines = [f"{self.run}: {self.progress}", self.answer]
        for finding in self.findings:
            advice = f" {finding.advice}" if finding.advice and finding.state != "good" else ""
            lines.append(f"  {finding.state:8}{finding.topic}: {finding.text}{advice}")
        return "\n".join([*lines, f"  best    {self.best}"])


def examine(run: Path, name: str = "") -> RunHealth:
    """Judges the run in the folder ``run``, called ``name`` if not like the folder.

    Raises ``UserError`` where it has no recipe, or no curves.
    """
    curves = read_curves(run)
    if not curves:
        raise UserError(f"{run / METRICS_FILE}: no curves; is this the folder of a run?")
    recipe, result = read_recipe(str(run / "recipe.yaml")), read_result(run)
    found = training_status(curves, recipe)
    diagnosis = diagnose_curves(curves, warmup_steps=recipe.optim.warmup_steps)
    ended = result is not None or (found is not None and found.step >= recipe.train.steps)
    findings = [
        _fit(comparable_curves(curves), diagnosis, ended),
        _gradients(curves, recipe),
        _codebooks(found),
        _discriminator(curves, recipe),
        _speed(curves, recipe),
    ]
    return RunHealth(
        run=name or str(run),
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        progress=_progress(run, curves, recipe, found, result) + _with_other_settings(run),
        best=explain_best(comparable_curves(curves)["val", "total"], kept_step(run, result))
        if found
        else "no validation yet",
        diagnosis=diagnosis,
        standing=found,
        findings=findings,
    )


def kept_step(run: Path, result: TrainingResult | None) -> int | None:
    """The step whose weights the run, or the model in its folder, has."""
    if result is not None:
        return result.best_step
    with contextlib.suppress(UserError):
        step = read_info(run).get("step")
        return step if isinstance(step, int) else None
    return None


def _progress(
    run: Path, curves: Curves, recipe: Recipe, found: TrainingStatus | None, result: TrainingResult | None
) -> str:
    if result is not None:
        return f"stopped after {result.steps:,} steps, {result.minutes:.0f} minutes of training: {result.stopped}"
    step = max(curve.steps[-1] for curve in curves.values())
    if step >= recipe.train.steps:
        return f"all {step:,} steps done"
    heard = datetime.now().timestamp() - (run / METRICS_FILE).stat().st_mtime
    left = f", {format_duration(found.left_s)} left" if found and found.left_s is not None else ""
    return (
        f"at step {step:,} of {recipe.train.steps:,}{left}; last heard of {format_duration(max(0.0, heard))} ago"
        " (in progress, or interrupted)"
    )


def _with_other_settings(run: Path) -> str:
    earlier = earlier_recipes(run)
    return "".join(f"; until step {step:,} with the settings of {path.name}" for step, path in earlier.items())


def _fit(curves: Curves, found: Diagnosis, ended: bool) -> Finding:
    since = "" if found.since is None else f" since step {found.since:,}"
    term = f" ({found.term})" if found.term else ""
    text = f"{found.verdict}{since}: {found.reason}{term}."
    if found.verdict == "undecided":
        return Finding("fit", "unknown", text, found.action if ended else "Wait for the next validations.")
    if found.verdict == "well fitted":
        return Finding("fit", "good", text, found.action)
    if found.verdict == "underfitted" and not ended and still_falling(curves["val", found.term]):
        return Finding("fit", "good", f"{text} It is still learning.")
    return Finding("fit", "watch", text, found.action)


def _gradients(curves: Curves, recipe: Recipe) -> Finding:
    norms, bound = curves.get(("train", "grad_norm")), recipe.optim.clip_norm
    if norms is None:
        return Finding("gradients", "unknown", "Not recorded.")
    latest, warmup = _part(norms, 0.75, 1.0), recipe.optim.warmup_steps
    clipped = curves.get(("train", "clipped"))
    share = statistics.fmean(_part(clipped, 0.75, 1.0) if clipped else [norm > bound for norm in latest])
    text = f"Norm {statistics.median(latest):.3g} in the last quarter, {share:.0%} of steps clipped to {bound:g}"
    largest = curves.get(("train", "grad_norm_max"))
    if largest is not None:
        text += f"; largest {max(largest.values):.3g}, at step {largest.steps[int(np.argmax(largest.values))]:,}"
    second = _part(norms, 0.25, 0.5)
    if len(norms) >= 8 and second and statistics.median(latest) > RISING * statistics.median(second):
        return Finding("gradients", "watch", f"{text}; it has grown since the second quarter.", "Lower optim.lr.")
    if share >= ALL_CLIPPED and norms.steps[-1] <= warmup:
        return Finding("gradients", "good", f"{text}; as yet the learning rate warms up, until step {warmup:,}.")
    if share >= ALL_CLIPPED:
        usual = f"Raise optim.clip_norm to about {2 * statistics.median(latest):.2g}, twice the usual norm."
        return Finding("gradients", "watch", f"{text}; of nearly all the direction alone counts.", usual)
    return Finding("gradients", "good", f"{text}.")


def _codebooks(found: TrainingStatus | None) -> Finding:
    usage = found.usage if found else None
    if usage is None:
        return Finding("codebooks", "unknown", "Not recorded.")
    least = int(np.argmax(usage.each_unused))
    text = (
        f"{usage.unused:.0%} of entries unused on the validation clips (most in codebook {least + 1}:"
        f" {usage.each_unused[least]:.0%}), perplexity {usage.perplexity:.0f} on average."
    )
    if 1 - usage.each_unused[least] < COLLAPSED_BELOW:
        return Finding("codebooks", "bad", f"Collapsed. {text}", "A lower optim.lr or more crops per step may help.")
    if 1 - usage.unused < THIN:
        return Finding("codebooks", "watch", text, "Validate on more clips to be sure; else use smaller codebooks.")
    return Finding("codebooks", "good", text)


def _discriminator(curves: Curves, recipe: Recipe) -> Finding:
    if not recipe.adversarial.weight:
        return Finding("discriminator", "good", "None in this recipe.")
    right = curves.get(("train", "discriminator_right"))
    if right is None:
        started = ("train", "adversarial") in curves
        return Finding("discriminator", "unknown", "Its balance was not recorded." if started else "Not started yet.")
    share = statistics.fmean(_part(right, 0.75, 1.0))
    text = f"It is right in {share:.0%} of its judgements in the last quarter."
    if share > TELLS_ALL:
        return Finding(
            "discriminator", "watch", f"{text} It tells nearly all: the codec learns little from it.",
            "Lower adversarial.lr, or raise adversarial.every.",
        )  # fmt: skip
    if share < TELLS_NOTHING:
        return Finding(
            "discriminator",
            "watch",
            f"{text} It hardly tells real from decoded sound.",
            "It needs more steps, or a higher adversarial.lr.",
        )
    return Finding("discriminator", "good", f"{text} Neither side has won.")


def _speed(curves: Curves, recipe: Recipe) -> Finding:
    speed = speed_curve(curves, recipe)
    if speed is None:
        return Finding("speed", "unknown", "Not recorded.")
    latest, start = _part(speed, 0.75, 1.0), recipe.adversarial.start_step if recipe.adversarial.weight else 0
    start = start if start < speed.steps[-1] else 0  # not yet
    # a value tells of the steps since the one before: only those behind the discriminator's start are like the last
    alike = [step for before, step in zip((0, *speed.steps), speed.steps) if before >= start]
    before = [speed.at(step) for step in alike if step <= 0.75 * speed.steps[-1]]
    text = f"{statistics.median(latest):.0f} s of audio per second in the last quarter of the steps"
    alone = [value for step, value in zip(speed.steps, speed.values) if step <= start]
    if alone and alike:
        text += f", with the discriminator, which began at step {start:,}; {statistics.median(alone):.0f} without it"
    elif alone:
        return Finding("speed", "unknown", f"{text}; the discriminator has just begun, at step {start:,}.")
    if before and statistics.median(latest) < SLOWED * statistics.median(before):
        text += f", {statistics.median(before):.0f} before, and {speed.values[-1]:.0f} when it was last measured."
        return Finding("speed", "watch", text, "Is, or was, other work on the machine?")
    return Finding("speed", "good", f"{text}.")


def _part(curve: Curve, start: float, end: float) -> list[float]:
    """Values in a part of the run, by its steps; the last value if there is none."""
    last = curve.steps[-1]
    found = [value for step, value in zip(curve.steps, curve.values) if start * last < step <= end * last]
    return found or ([curve.values[-1]] if end == 1.0 else [])


def missing(curves: Curves, recipe: Recipe, sounds: bool) -> list[str]:
    """What later versions record and this run does not have."""
    wanted = {
        "largest gradient norms": ("train", "grad_norm_max"),
        "the share of clipped steps": ("train", "clipped"),
        "seconds of audio per second": ("train", "audio_s_per_s"),
        "minutes of training": ("val", "minutes"),
    }
    if recipe.adversarial.weight and ("train", "adversarial") in curves:
        wanted |= {
            "the discriminator's balance": ("train", "discriminator_right"),
            "the discriminator's gradients": ("train", "discriminator_grad_norm"),
        }
    absent = [name for name, key in wanted.items() if key not in curves]
    if not codebook_curves(curves, "usage"):
        absent.append("the use of codebooks")
    return absent if sounds else [*absent, "sounds"]
