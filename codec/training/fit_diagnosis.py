"""Is a run over-, under- or well fitted: read from its curves, ending in one thing to do.

Both curves are made in evaluation mode, on the same crops each time, at the same bit rate and without
augmentation, so that their distance means something. The rule, first match counts (M is the mel distance, or
the total loss):

1. underfitted, *starved*: training at the end is not below 0.85 of the noise baseline (or, where that is not
   known, of its own first value or that of the first batch, whichever is higher), and no longer falling as in
   4: little was learned, and more steps alone would not help.
2. overfitted, *turned*: validation ends over 3 % above its lowest value, while training fell by 3 % or more
   since then.
3. overfitted, *apart*: the ratio of validation to training grew by over 0.25 since the first point. Part of
   what was learned holds for the training clips alone.
4. underfitted, *still falling*: over the last quarter of the steps validation fell by over 5 %: it stopped
   too early.
5. well fitted.

Fewer than three points decide nothing (:data:`MIN_POINTS`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from codec.training.metrics_log import Curve, comparable_curves, read_curves

RISE, FALL, STILL, APART, LEARNED = 0.03, 0.03, 0.05, 0.25, 0.85
MIN_POINTS = 3
DIAGNOSIS_TERMS = ("mel", "total")
NOISE = ("noise", "mel")
"""The curve of one point that says what noise scores on the validation clips."""
Curves = Mapping[tuple[str, str], Curve]
"""By split and term."""


@dataclass(frozen=True)
class Diagnosis:
    """``since`` is the step from which the verdict holds, None where it holds for the whole run."""

    verdict: Literal["well fitted", "overfitted", "underfitted", "undecided"]
    since: int | None
    reason: str
    action: str
    term: str = ""
    """Which curve it was read from."""


def diagnose(train: Curve, validation: Curve, baseline: float | None = None) -> Diagnosis:
    """Applies the rule above. ``baseline``: what noise scores in the same measure, where that is known."""
    points = min(len(train), len(validation))
    if points < MIN_POINTS:
        reason = f"only {points} point{'s' * (points != 1)} on the curves, {MIN_POINTS} are needed"
        return Diagnosis("undecided", None, reason, "Validate more often: lower train.validate_every.")
    last, end, learned = validation.steps[-1], validation.values[-1], train.values[-1]
    limit = train.values[0] if baseline is None else baseline
    before = validation.at(0.75 * last)
    falling = still_falling(validation)
    if learned >= LEARNED * limit and not falling:
        against = "its first value" if baseline is None else "noise with the clips' own spectrum and envelope"
        compared = "no better" if learned >= limit else "hardly better"
        reason = f"training stands at {learned:.3g}, {compared} than {against} ({limit:.3g})"
        return Diagnosis(
            "underfitted",
            None,
            reason,
            "Find a learning rate with codec train --lr-range-test, then train again.",
        )
    best = int(np.argmin(validation.values))
    best_step = validation.steps[best]
    rise = end / validation.values[best] - 1
    if rise > RISE and learned <= (1 - FALL) * train.at(best_step):
        reason = f"validation rose by {rise:.0%} from its lowest value while training went on falling"
        action = f"Train on audio from more groups; until you can, stop near step {best_step:,}."
        return Diagnosis("overfitted", best_step, reason, action)
    ratios = np.array([value / train.at(step) for step, value in zip(validation.steps, validation.values)])
    if ratios[-1] - ratios[0] > APART:
        since = validation.steps[int(np.argmax(ratios - ratios[0] > APART))]
        reason = f"validation ends {ratios[-1] - 1:.0%} above training; it began {_relative(ratios[0] - 1)}"
        return Diagnosis("overfitted", since, reason, "Train on audio from more groups, or switch on augmentation.")
    if falling:
        times = 10 if learned >= LEARNED * limit else 2
        reason = f"validation was still falling: by {1 - end / before:.0%} over the last quarter of the steps"
        return Diagnosis("underfitted", None, reason, f"Train longer: at least {_round(times * last):,} steps.")
    level = np.flatnonzero(np.array(validation.values) > (1 + STILL) * end)
    since = validation.steps[min(int(level[-1]) + 1, len(validation) - 1)] if len(level) else validation.steps[0]
    reason = f"validation is level and within {abs(ratios[-1] - 1):.0%} of training"
    action = "Nothing to repair; for more quality at this bit rate, try a wider decoder."
    return Diagnosis("well fitted", since, reason, action)


def still_falling(validation: Curve) -> bool:
    """By over 5 % in the last quarter of the steps."""
    return validation.values[-1] < (1 - STILL) * validation.at(0.75 * validation.steps[-1])


def _since_first_batch(train: Curve, batches: Curve) -> Curve:
    """A run that starts well may have learned most of it before the first validation."""
    if batches.steps[0] >= train.steps[0] or batches.values[0] <= train.values[0]:
        return train
    return Curve((batches.steps[0], *train.steps), (batches.values[0], *train.values))


def _relative(share: float) -> str:
    return f"{abs(share):.0%} {'above' if share >= 0 else 'below'}"


def _round(steps: int) -> int:
    """To two digits, as one would say it."""
    scale = 10 ** max(0, len(str(steps)) - 2)
    return -(-steps // scale) * scale


def diagnose_run(run: Path, baseline_mel: float | None = None, warmup_steps: int = 0) -> Diagnosis:
    """The verdict on a run folder, see :func:`diagnose_curves`."""
    return diagnose_curves(read_curves(run), baseline_mel, warmup_steps)


def diagnose_curves(curves: Curves, baseline_mel: float | None = None, warmup_steps: int = 0) -> Diagnosis:
    """The verdict from the mel distance or else the total loss. ``baseline_mel``: of noise, where it is known better
    than the run itself recorded it. Before the end of ``warmup_steps`` there is none: curves are level there because
    the learning rate is low."""
    if baseline_mel is None and NOISE in curves:
        baseline_mel = curves[NOISE].values[-1]
    curves = comparable_curves(curves)
    nothing = Curve((), ())
    for term in DIAGNOSIS_TERMS:
        train, validation = (curves.get((split, term), nothing) for split in ("train_fixed", "val"))
        if len(train) and len(validation):
            baseline = baseline_mel if term == "mel" else None
            if baseline is None and (batches := curves.get(("train", term))) is not None:
                train = _since_first_batch(train, batches)
            found = diagnose(train, validation, baseline)
            if found.verdict != "undecided" and validation.steps[-1] <= warmup_steps:
                reason = f"the learning rate still warms up, until step {warmup_steps:,}"
                found = Diagnosis("undecided", None, reason, "Train for longer, or lower optim.warmup_steps.")
            return replace(found, term=term)
    return diagnose(nothing, nothing)
