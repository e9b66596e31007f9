"""The status of a training at its last validation, from its curves and its recipe.

While a run trains, this is a line of its log; afterwards, part of the page of its health. Both read the same table.
"""

from dataclasses import dataclass

import numpy as np

from codec.config import Recipe
from codec.runtime.text import format_duration
from codec.training.fit_diagnosis import Diagnosis, diagnose_curves
from codec.training.metrics_log import TRAINING_EVALUATION, VALIDATION, Curve, Curves, comparable_curves

QUANTIZED_FROM = "quantized_from"
"""Name in the metrics of the step at which a phase without quantizer ended."""
COLLAPSED_BELOW = 0.1
"""A codebook has collapsed if less than this share of its entries is in use."""


@dataclass(frozen=True)
class CodebookUsage:
    """Use of the codebooks on the validation clips; its fields are keys of ``codec health --json``."""

    unused: float
    """Share of unused entries among those that could occur; mean over the codebooks."""
    perplexity: float
    """Mean perplexity over the codebooks."""
    each_unused: tuple[float, ...]
    each_perplexity: tuple[float, ...]


@dataclass(frozen=True)
class TrainingStatus:
    """Status at the last validation; None for values that were not recorded or do not apply.

    Its fields are keys of ``codec health --json``.
    """

    step: int
    share: float
    """Share of the run that is done, by its steps or its time limit, whichever is further."""
    left_s: float | None
    """Seconds until the run is done, validations included."""
    training: float | None
    """Loss (weighted sum of all terms) of the averaged weights on the training-evaluation subset."""
    validation: float
    """The same on the validation crops."""
    best: str
    """The best step so far, and the distance from it."""
    diagnosis: Diagnosis
    audio_s_per_s: float | None
    """Seconds of audio trained on in a second."""
    gradient: float | None
    """Median gradient norm of the latest steps."""
    gradient_max: float | None
    clipped: float | None
    """Share of the latest steps whose gradient was clipped."""
    usage: CodebookUsage | None
    right: float | None
    """Discriminator accuracy: share of its decisions that are right."""
    unquantized: bool = False
    """Whether the run is in its phase without quantizer."""
    quantized_from: int | None = None
    """Step at which that phase ended; None if there was none, or it has not ended."""

    def lines(self) -> tuple[str, str]:
        """Format the status for the log.

        Returns:
            A line with losses and verdict, and one with the details, which begins with spaces.
        """
        left = "" if self.left_s is None else f", {format_duration(self.left_s)} left"
        training = "" if self.training is None else f"training {self.training:.4g}, "
        first = [
            f"step {self.step:,} ({self.share:.0%}{left}): loss: {training}validation {self.validation:.4g}",
            self.describe_fit(),
        ]
        details = [self.best]
        if self.diagnosis.verdict not in ("undecided", "well fitted"):
            details.append(self.diagnosis.reason)
        if self.unquantized:
            details.append("without quantizer so far, except for validations")
        if self.audio_s_per_s is not None:
            details.append(f"{self.audio_s_per_s:.0f} s of audio per second")
        if self.gradient is not None:
            largest = "" if self.gradient_max is None else f", largest {self.gradient_max:.3g}"
            clipped = "" if self.clipped is None else f", {self.clipped:.0%} of steps clipped"
            details.append(f"gradient norm {self.gradient:.3g}{largest}{clipped}")
        if self.usage is not None:
            details.append(f"codebook entries {self.usage.unused:.0%} unused, perplexity {self.usage.perplexity:.0f}")
        if self.right is not None:
            details.append(f"discriminator accuracy {self.right:.0%}")
        return "; ".join(first), f"  {'; '.join(details)}"

    def describe_fit(self) -> str:
        """Describe whether the run is over-, under- or well fitted so far.

        Returns:
            The verdict, and the step from which it holds.
        """
        found = self.diagnosis
        if found.verdict == "undecided":
            return "too early for a verdict"
        since = "" if found.since is None else f" since step {found.since:,}"
        return f"{found.verdict} so far{since}"


def training_status(curves: Curves, recipe: Recipe) -> TrainingStatus | None:
    """Find the status of a run at its last validation.

    Args:
        curves: curves of the run
        recipe: settings of the run

    Returns:
        The status; None before the first validation by the present criterion.
    """
    curves = comparable_curves(curves)
    validation = curves.get((VALIDATION, "total"))
    if validation is None:
        return None
    step, minutes = validation.steps[-1], _last(curves, VALIDATION, "minutes")
    share = step / recipe.train.steps
    if minutes is not None and recipe.train.max_minutes:
        share = max(share, minutes / recipe.train.max_minutes)
    speed, quantized_from = speed_curve(curves, recipe), _last(curves, "train", QUANTIZED_FROM)
    return TrainingStatus(
        step=step,
        share=min(1.0, share),
        left_s=_estimate_remaining_s(curves, recipe),
        training=_last(curves, TRAINING_EVALUATION, "total"),
        validation=validation.values[-1],
        best=describe_best_so_far(validation),
        diagnosis=diagnose_curves(curves, warmup_steps=recipe.optim.warmup_steps),
        audio_s_per_s=speed.values[-1] if speed else None,
        gradient=_last(curves, "train", "grad_norm"),
        gradient_max=_last(curves, "train", "grad_norm_max"),
        clipped=_last(curves, "train", "clipped"),
        usage=_last_usage(curves),
        right=_last(curves, "train", "discriminator_right"),
        unquantized=bool(recipe.train.unquantized_share) and quantized_from is None,
        quantized_from=None if quantized_from is None else int(quantized_from),
    )


def _last(curves: Curves, split: str, term: str) -> float | None:
    curve = curves.get((split, term))
    return curve.values[-1] if curve else None


def describe_best_so_far(validation: Curve) -> str:
    """Compare the last validation with the best one.

    Args:
        validation: validation loss over the steps

    Returns:
        Whether the last one is the best, and its distance from the best other one.

    >>> describe_best_so_far(Curve((10, 20, 30), (2.0, 1.0, 1.1)))
    '10.0% above the best, step 20'
    """
    best = int(np.argmin(validation.values))
    if len(validation) == 1:
        return "the first"
    if best < len(validation) - 1:
        above = validation.values[-1] / validation.values[best] - 1
        return f"{above:.1%} above the best, step {validation.steps[best]:,}"
    second = int(np.argmin(validation.values[:-1]))
    below = 1 - validation.values[-1] / validation.values[second]
    return f"the best so far, {below:.1%} below step {validation.steps[second]:,}"


def explain_best(validation: Curve, saved_step: int | None = None) -> str:
    """Explain the selection of the step whose weights became the model of a run.

    Args:
        validation: validation loss over the steps
        saved_step: step of the model; None: that with the lowest loss

    Returns:
        The step, its loss, and the distance from the second best, the last one, and the model that the run started from
        (step 0), if it started from one.

    >>> explain_best(Curve((0, 10), (1.0, 0.95)))
    'step 10 has the lowest validation loss, 0.95 (all terms, averaged weights), 5.0% below the model that the run \
started from'
    """
    best = int(np.argmin(validation.values))
    lowest = validation.values[best]
    if saved_step in validation.steps and saved_step != validation.steps[best]:
        value = validation.values[validation.steps.index(saved_step)]
        return (
            f"step {saved_step:,}, with a validation loss of {value:.4g}; step {validation.steps[best]:,}, with"
            f" {lowest:.4g}, was excluded (for example because the run was resumed with other losses)"
        )
    step = validation.steps[best]
    name = f"step {step:,}" if step else "the model that the run started from, step 0,"
    text = f"{name} has the lowest validation loss, {lowest:.4g} (all terms, averaged weights)"
    others = [index for index in range(len(validation)) if index != best]
    if not others:
        return f"{text}; it is the only validation"
    second = min(others, key=lambda index: validation.values[index])
    if validation.steps[second]:
        below = 1 - lowest / validation.values[second]
        text += f", {below:.1%} below the second best, step {validation.steps[second]:,}"
    if not validation.steps[0] and best:
        text += f", {1 - lowest / validation.values[0]:.1%} below the model that the run started from"
    if best < len(validation) - 1:
        text += f"; at the last step the loss is {validation.values[-1] / lowest - 1:.1%} higher"
    return text


def explain_early_stop(validation: Curve, patience: int) -> str:
    """Explain why early stopping ended a run.

    Args:
        validation: validation loss over the steps
        patience: the recipe's ``train.patience``

    Returns:
        The number of validations without improvement, and their losses.
    """
    best = int(np.argmin(validation.values))
    text = f"early stopping: {patience} validations without improvement on step {validation.steps[best]:,}"
    since = validation.values[best + 1 :]
    if not since:
        return text
    lowest = validation.values[best]
    return f"{text} (validation loss {lowest:.4g}; lowest since then {min(since):.4g}, last {since[-1]:.4g})"


def speed_curve(curves: Curves, recipe: Recipe) -> Curve | None:
    """Find the speed of training over the steps.

    Args:
        curves: curves of the run
        recipe: settings of the run

    Returns:
        Seconds of audio per second: as recorded or, if validations are more frequent than records, computed from the
        minutes of the validations; None if neither was recorded.
    """
    recorded, minutes = curves.get(("train", "audio_s_per_s")), curves.get((VALIDATION, "minutes"))
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


def _estimate_remaining_s(curves: Curves, recipe: Recipe) -> float | None:
    """Estimate the seconds until the run ends at the speed between the last two validations."""
    minutes, train = curves.get((VALIDATION, "minutes")), recipe.train
    if minutes is None or not minutes.values[-1]:
        return None
    steps_before, minutes_before = (0, 0.0) if len(minutes) < 2 else (minutes.steps[-2], minutes.values[-2])
    step = minutes.steps[-1]  # also recorded for a validation whose loss is not finite
    interval = step - steps_before
    steps_per_minute = interval / max(1e-9, minutes.values[-1] - minutes_before)
    left = max(0.0, (train.steps - step) / max(1e-9, steps_per_minute))
    if train.max_minutes:
        left = min(left, max(0.0, train.max_minutes - minutes.values[-1]))
    validation_s = curves.get((VALIDATION, "judging_s"))
    validations = left * steps_per_minute / max(1, interval)
    return 60 * left + (validations * validation_s.values[-1] if validation_s else 0.0)


def _last_usage(curves: Curves) -> CodebookUsage | None:
    used, perplexity = (codebook_curves(curves, name) for name in ("usage", "perplexity"))
    if not used or not perplexity:
        return None
    unused = tuple(1 - curve.values[-1] for curve in used)
    each = tuple(curve.values[-1] for curve in perplexity)
    return CodebookUsage(float(np.mean(unused)), float(np.mean(each)), unused, each)


def codebook_curves(curves: Curves, name: str) -> list[Curve]:
    """Collect one curve of each codebook.

    Args:
        curves: curves of the run
        name: ``usage`` or ``perplexity``

    Returns:
        The curves in the order of the codebooks.
    """
    found: list[Curve] = []
    while curve := curves.get((VALIDATION, f"{name}_q{len(found)}")):
        found.append(curve)
    return found
