"""Where a run stands: what its curves and its recipe say at the last validation. While a run trains this is a line of
its log, later the page of its health; both read it from the same table."""

from dataclasses import dataclass

import numpy as np

from codec.config import Recipe
from codec.runtime.text import format_duration
from codec.training.fit_diagnosis import Curves, Diagnosis, diagnose_curves
from codec.training.metrics_log import Curve, comparable_curves


@dataclass(frozen=True)
class Usage:
    """Of the codebooks, on the validation clips: ``unused``, the mean share of entries that did not occur and could
    have, and the mean perplexity, each per codebook too."""

    unused: float
    perplexity: float
    each_unused: tuple[float, ...]
    each_perplexity: tuple[float, ...]


@dataclass(frozen=True)
class TrainingStatus:
    """At the last validation; None is what was not recorded, or does not apply."""

    step: int
    share: float
    """Of the run that is done: of its steps or, where they end it sooner, of its minutes."""
    left_s: float | None
    """Until it is done, validations included."""
    training: float | None
    validation: float
    """Losses (all terms, weighted) of the averaged weights, on fixed crops of both splits."""
    best: str
    """Which step is the best so far, and by how much."""
    diagnosis: Diagnosis
    audio_s_per_s: float | None
    gradient: float | None
    gradient_max: float | None
    clipped: float | None
    usage: Usage | None
    right: float | None
    """Share of its judgements in which the discriminator is right."""

    def line(self) -> str:
        """All of it, as a line of the log."""
        left = "" if self.left_s is None else f", {format_duration(self.left_s)} left"
        trained = "" if self.training is None else f"{self.training:.4g} in training, "
        parts = [
            f"step {self.step:,} ({self.share:.0%}{left}): loss {trained}{self.validation:.4g} in validation"
            f" ({self.best})",
            self.verdict(),
        ]
        if self.audio_s_per_s is not None:
            parts.append(f"{self.audio_s_per_s:.0f} s of audio per second")
        if self.gradient is not None:
            most = "" if self.gradient_max is None else f", at most {self.gradient_max:.3g}"
            clipped = "" if self.clipped is None else f", {self.clipped:.0%} of steps clipped"
            parts.append(f"gradient norm {self.gradient:.3g}{most}{clipped}")
        if self.usage is not None:
            parts.append(f"codes {self.usage.unused:.0%} unused, perplexity {self.usage.perplexity:.0f}")
        if self.right is not None:
            parts.append(f"discriminator right in {self.right:.0%}")
        return "; ".join(parts)

    def verdict(self) -> str:
        """Over-, under- or well fitted so far, and since when; in the reason's words where something is amiss."""
        found = self.diagnosis
        if found.verdict == "undecided":
            return "too early for a verdict"
        since = "" if found.since is None else f" since step {found.since:,}"
        reason = "" if found.verdict == "well fitted" else f" ({found.reason})"
        return f"{found.verdict} so far{since}{reason}"


def training_status(curves: Curves, recipe: Recipe) -> TrainingStatus | None:
    """None before the first validation that was judged as validations now are."""
    curves = comparable_curves(curves)
    validation = curves.get(("val", "total"))
    if validation is None:
        return None
    step = validation.steps[-1]

    def last(split: str, term: str) -> float | None:
        curve = curves.get((split, term))
        return curve.values[-1] if curve else None

    minutes = last("val", "minutes")
    share = step / recipe.train.steps
    if minutes is not None and recipe.train.max_minutes:
        share = max(share, minutes / recipe.train.max_minutes)
    speed = speed_curve(curves, recipe)
    return TrainingStatus(
        step=step,
        share=min(1.0, share),
        left_s=_left_s(curves, recipe),
        training=last("train_fixed", "total"),
        validation=validation.values[-1],
        best=best_so_far(validation),
        diagnosis=diagnose_curves(curves, warmup_steps=recipe.optim.warmup_steps),
        audio_s_per_s=speed.values[-1] if speed else None,
        gradient=last("train", "grad_norm"),
        gradient_max=last("train", "grad_norm_max"),
        clipped=last("train", "clipped"),
        usage=_usage(curves),
        right=last("train", "discriminator_right"),
    )


def best_so_far(validation: Curve) -> str:
    """Whether the last value is the lowest, and the nearest rival."""
    best = int(np.argmin(validation.values))
    if len(validation) == 1:
        return "the first"
    if best < len(validation) - 1:
        above = validation.values[-1] / validation.values[best] - 1
        return f"{above:.1%} above the best, step {validation.steps[best]:,}"
    rival = int(np.argmin(validation.values[:-1]))
    return f"the best so far, {1 - validation.values[-1] / validation.values[rival]:.1%} below step" + (
        f" {validation.steps[rival]:,}"
    )


def why_best(validation: Curve, kept: int | None = None) -> str:
    """Why the weights of one step were kept: by which measure, and how far it is from the others. ``kept``: the step
    that the run itself names."""
    best = int(np.argmin(validation.values))
    lowest = validation.values[best]
    if kept in validation.steps and kept != validation.steps[best]:
        value = validation.values[validation.steps.index(kept)]
        return (
            f"step {kept:,}, with a validation loss of {value:.4g}; the {lowest:.4g} of step {validation.steps[best]:,}"
            " did not count (as where a resumed run has other losses)"
        )
    text = f"step {validation.steps[best]:,} has the lowest validation loss, {lowest:.4g} (all terms, averaged weights)"
    others = [index for index in range(len(validation)) if index != best]
    if not others:
        return f"{text}: it is the only one"
    rival = min(others, key=lambda index: validation.values[index])
    text += f": {1 - lowest / validation.values[rival]:.1%} below the next best, step {validation.steps[rival]:,}"
    if best < len(validation) - 1:
        text += f"; by the last step it rose by {validation.values[-1] / lowest - 1:.1%}"
    return text


def why_early(validation: Curve, patience: int) -> str:
    """Why early stopping ended a run."""
    best = int(np.argmin(validation.values))
    text = f"early stopping: {patience} validations without improvement on step {validation.steps[best]:,}"
    since = validation.values[best + 1 :]
    if not since:
        return text
    lowest = validation.values[best]
    return f"{text} (validation loss {lowest:.4g}; since then at best {min(since):.4g}, at the end {since[-1]:.4g})"


def speed_curve(curves: Curves, recipe: Recipe) -> Curve | None:
    """Seconds of audio per second, as recorded or, where validations stand closer than records, from their minutes."""
    recorded, minutes = curves.get(("train", "audio_s_per_s")), curves.get(("val", "minutes"))
    if recorded is not None or minutes is None:
        return recorded
    spent = np.diff([0.0, *minutes.values])
    steps = np.diff([0, *minutes.steps])
    points = [
        (step, recipe.step_audio_s * count / (60 * spent_min))
        for step, count, spent_min in zip(minutes.steps, steps, spent)
        if spent_min > 0
    ]
    return Curve(tuple(step for step, _ in points), tuple(value for _, value in points)) if points else None


def _left_s(curves: Curves, recipe: Recipe) -> float | None:
    """At the speed of the last stretch between validations."""
    minutes, train = curves.get(("val", "minutes")), recipe.train
    if minutes is None or not minutes.values[-1]:
        return None
    steps_before, minutes_before = (0, 0.0) if len(minutes) < 2 else (minutes.steps[-2], minutes.values[-2])
    step = minutes.steps[-1]  # a validation whose loss is not finite has its minutes, too
    stretch = step - steps_before
    steps_a_minute = stretch / max(1e-9, minutes.values[-1] - minutes_before)
    left = max(0.0, (train.steps - step) / max(1e-9, steps_a_minute))
    if train.max_minutes:
        left = min(left, max(0.0, train.max_minutes - minutes.values[-1]))
    judging = curves.get(("val", "judging_s"))
    validations = left * steps_a_minute / max(1, stretch)
    return 60 * left + (validations * judging.values[-1] if judging else 0.0)


def _usage(curves: Curves) -> Usage | None:
    used, perplexity = (codebook_curves(curves, name) for name in ("usage", "perplexity"))
    if not used or not perplexity:
        return None
    unused = tuple(1 - curve.values[-1] for curve in used)
    each = tuple(curve.values[-1] for curve in perplexity)
    return Usage(float(np.mean(unused)), float(np.mean(each)), unused, each)


def codebook_curves(curves: Curves, name: str) -> list[Curve]:
    """``usage`` or ``perplexity`` of each codebook, in order."""
    found: list[Curve] = []
    while curve := curves.get(("val", f"{name}_q{len(found)}")):
        found.append(curve)
    return found
