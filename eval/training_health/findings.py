"""The findings about a run, topic by topic: fit, gradients, codebooks, discriminator and speed.

The bounds are rules of thumb; each names its reference.
"""

import statistics
from dataclasses import dataclass
from typing import Literal

import numpy as np

from codec.config import Recipe
from codec.training.fit_diagnosis import Diagnosis, still_falling
from codec.training.metrics_log import Curve, Curves
from codec.training.status import COLLAPSED_BELOW, TrainingStatus, codebook_curves, speed_curve

State = Literal["good", "watch", "bad", "unknown"]

RISING = 3.0
"""Median gradient norm of the last quarter of the steps, relative to that of the second quarter."""
THIN = 0.5
"""Mean share of entries in use, below which codebooks are larger than they need be."""
ALL_CLIPPED = 0.98
"""Share of clipped steps, above which only the direction of the gradient counts."""
ACCURACY_TOO_HIGH, ACCURACY_TOO_LOW = 0.95, 0.55
"""Accuracy of the discriminator in the last quarter of the steps."""
SLOWED = 0.7
"""Speed in the last quarter of the steps, relative to that before."""


@dataclass(frozen=True)
class Finding:
    """A finding about one topic."""

    topic: str
    state: State
    """``unknown`` if nothing was recorded, or if it is too early for a verdict."""
    text: str
    advice: str = ""


def check_fit(curves: Curves, found: Diagnosis, ended: bool) -> Finding:
    """Check whether the model is over- or underfitted.

    Args:
        curves: curves of the steps with comparable losses.
        found: verdict on the curves.
        ended: whether the run has ended.

    Returns:
        The finding.
    """
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


def check_gradients(curves: Curves, recipe: Recipe) -> Finding:
    """Check whether gradient norms grow, and how many steps are clipped.

    Args:
        curves: curves of the run.
        recipe: recipe of the run.

    Returns:
        The finding.
    """
    norms, bound = curves.get(("train", "grad_norm")), recipe.optim.clip_norm
    if norms is None:
        return Finding("gradients", "unknown", "Not recorded.")
    latest, warmup = _part(norms, 0.75, 1.0), recipe.optim.warmup_steps
    clipped = curves.get(("train", "clipped"))
    share = statistics.fmean(_part(clipped, 0.75, 1.0) if clipped else [norm > bound for norm in latest])
    clips = f"{share:.0%} of these steps clipped to {bound:g}"
    text = f"Norm {statistics.median(latest):.3g} in the last quarter of the steps, {clips}"
    largest = curves.get(("train", "grad_norm_max"))
    if largest is not None:
        text += f"; largest {max(largest.values):.3g}, at step {largest.steps[int(np.argmax(largest.values))]:,}"
    second = _part(norms, 0.25, 0.5)
    if len(norms) >= 8 and second and statistics.median(latest) > RISING * statistics.median(second):
        return Finding("gradients", "watch", f"{text}; it has grown since the second quarter.", "Lower optim.lr.")
    if share >= ALL_CLIPPED and norms.steps[-1] <= warmup:
        return Finding("gradients", "good", f"{text}. The learning rate is still warming up, until step {warmup:,}.")
    if share >= ALL_CLIPPED:
        usual = f"Raise optim.clip_norm to about {2 * statistics.median(latest):.2g}, twice the usual norm."
        return Finding(
            "gradients",
            "watch",
            f"{text}. Nearly all steps are clipped, so only the direction of the gradient counts.",
            usual,
        )
    return Finding("gradients", "good", f"{text}.")


def check_codebooks(found: TrainingStatus | None) -> Finding:
    """Check how many entries of the codebooks are in use.

    Args:
        found: status at the last validation; None before the first.

    Returns:
        The finding.
    """
    usage = found.usage if found else None
    if found is None or usage is None:
        return Finding("codebooks", "unknown", "Not recorded.")
    if found.unquantized:
        text = f"The run trains without quantizer so far; {usage.unused:.0%} of entries are unused in validations."
        return Finding("codebooks", "unknown", text, "The codebooks are fitted anew at the end of this phase.")
    least = int(np.argmax(usage.each_unused))
    text = (
        f"{usage.unused:.0%} of entries unused on the validation clips (most in codebook {least + 1}:"
        f" {usage.each_unused[least]:.0%}), perplexity {usage.perplexity:.0f} on average."
        + ("" if found.quantized_from is None else f" The quantizer takes part since step {found.quantized_from:,}.")
    )
    if 1 - usage.each_unused[least] < COLLAPSED_BELOW:
        return Finding("codebooks", "bad", f"Collapsed. {text}", "A lower optim.lr or more crops per step may help.")
    if 1 - usage.unused < THIN:
        return Finding("codebooks", "watch", text, "Validate on more clips to be sure, or use smaller codebooks.")
    return Finding("codebooks", "good", text)


def check_discriminator(curves: Curves, recipe: Recipe) -> Finding:
    """Check whether the discriminator and the codec are in balance.

    Args:
        curves: curves of the run.
        recipe: recipe of the run.

    Returns:
        The finding.
    """
    if not recipe.adversarial.weight:
        return Finding("discriminator", "good", "This recipe has none.")
    right = curves.get(("train", "discriminator_right"))
    if right is None:
        started = ("train", "adversarial") in curves
        return Finding(
            "discriminator", "unknown", "Its balance was not recorded." if started else "It has not started yet."
        )
    share = statistics.fmean(_part(right, 0.75, 1.0))
    text = f"Its accuracy is {share:.0%} in the last quarter of the steps."
    if share > ACCURACY_TOO_HIGH:
        return Finding(
            "discriminator", "watch", f"{text} It recognises nearly all decoded audio: the codec learns little.",
            "Lower adversarial.lr, or raise adversarial.every.",
        )  # fmt: skip
    if share < ACCURACY_TOO_LOW:
        return Finding(
            "discriminator",
            "watch",
            f"{text} It can hardly distinguish real from decoded audio.",
            "It needs more steps, or a higher adversarial.lr.",
        )
    return Finding("discriminator", "good", f"{text} Discriminator and codec are in balance.")


def check_speed(curves: Curves, recipe: Recipe) -> Finding:
    """Check whether training has slowed down.

    Args:
        curves: curves of the run.
        recipe: recipe of the run.

    Returns:
        The finding.
    """
    speed = speed_curve(curves, recipe)
    if speed is None:
        return Finding("speed", "unknown", "Not recorded.")
    latest, start = _part(speed, 0.75, 1.0), recipe.adversarial.start_step if recipe.adversarial.weight else 0
    start = start if start < speed.steps[-1] else 0  # not yet
    # a value is about the steps since the value before: only those after the discriminator's start are comparable
    comparable = [step for before, step in zip((0, *speed.steps), speed.steps) if before >= start]
    before = [speed.at(step) for step in comparable if step <= 0.75 * speed.steps[-1]]
    text = f"{statistics.median(latest):.0f} s of audio per second in the last quarter of the steps"
    alone = [value for step, value in zip(speed.steps, speed.values) if step <= start]
    if alone and comparable:
        text += f", with the discriminator, which began at step {start:,}; {statistics.median(alone):.0f} without it"
    elif alone:
        return Finding("speed", "unknown", f"{text}; the discriminator has just begun, at step {start:,}.")
    if before and statistics.median(latest) < SLOWED * statistics.median(before):
        text += f", {statistics.median(before):.0f} before, and {speed.values[-1]:.0f} when it was last measured."
        return Finding("speed", "watch", text, "Check whether other programs use the machine.")
    return Finding("speed", "good", f"{text}.")


def _part(curve: Curve, start: float, end: float) -> list[float]:
    """Return the values in a part of the run, given as shares of its steps; at the end, at least the last value."""
    last = curve.steps[-1]
    found = [value for step, value in zip(curve.steps, curve.values) if start * last < step <= end * last]
    return found or ([curve.values[-1]] if end == 1.0 else [])


def list_unrecorded(curves: Curves, recipe: Recipe, samples: bool, heard: bool) -> list[str]:
    """List what the present version records and the run does not have.

    Args:
        curves: curves of the run.
        recipe: recipe of the run.
        samples: whether the run has audio samples.
        heard: whether it has counted what it heard.

    Returns:
        Names for the reader.
    """
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
    others = {"audio samples": samples, "what was heard": heard}
    return [*absent, *(name for name, there in others.items() if not there)]
