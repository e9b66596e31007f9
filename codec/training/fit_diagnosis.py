"""A diagnosis of a run from its curves: over-, under- or well fitted, with one recommendation.

Both curves are measured in evaluation mode, on the same crops each time, at the same bit rate and without augmentation,
so that they can be compared. They are the mel distance or, if that was not recorded, the total loss. "Training" is the
training-evaluation subset. The first of these rules that holds decides:

1. underfitted (*risen*): training ends more than 10 % above its lowest value, and validation does not fall as in rule
   5. Steps of this size undo what was learned, and more of them would not help.
2. underfitted (*starved*): training ends above 0.85 of the noise baseline (if that is unknown, of its own first value
   or that of the first batch, whichever is higher), and validation no longer falls as in rule 5. Little was learned,
   and more steps alone would not help.
3. overfitted (*turned*): validation ends more than 3 % above its lowest value, while training has fallen by 3 % or more
   since then.
4. overfitted (*apart*): the ratio of validation to training has grown by more than 0.25 since the first point. Part of
   what was learned holds for the training clips alone.
5. underfitted (*still falling*): over the last quarter of the steps, validation fell by more than 5 %. The run stopped
   too early.
6. well fitted.

With fewer than three points the diagnosis is undecided (:data:`MIN_POINTS`).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from codec.training.metrics_log import (
    TRAINING_EVALUATION,
    VALIDATION,
    Curve,
    Curves,
    comparable_curves,
    read_curves,
)

_RISEN, _STARVED_ABOVE, _RISE, _FALL, _APART, _STILL_FALLING = 0.10, 0.85, 0.03, 0.03, 0.25, 0.05
"""Limits of the rules, in their order."""
MIN_POINTS = 3
_FEW_STEPS = 1000
"""Below this number of steps, a run is too short to blame its learning rate."""
DIAGNOSIS_TERMS = ("mel", "total")
"""Terms that a diagnosis is made from, in order of preference."""
NOISE_BASELINE = ("noise", "mel")
"""Curve of a single point: the mel distance of noise (with the spectrum and envelope of the clips) on the validation
crops."""


@dataclass(frozen=True)
class Diagnosis:
    """A verdict on a run; its fields are keys of ``codec health --json`` and of the results of an evaluation."""

    verdict: Literal["well fitted", "overfitted", "underfitted", "undecided"]
    since: int | None
    """Step from which the verdict holds; None if it holds for the whole run."""
    reason: str
    action: str
    """Recommendation."""
    term: str = ""
    """Term of the curves that it was made from, see :data:`DIAGNOSIS_TERMS`."""


def diagnose(train: Curve, validation: Curve, baseline: float | None = None) -> Diagnosis:
    """Apply the rules of this module.

    Args:
        train: curve of the training-evaluation subset
        validation: curve of the validation crops
        baseline: the same measure for noise, if it is known

    Returns:
        The verdict.

    >>> steps = (100, 200, 300, 400)
    >>> found = diagnose(Curve(steps, (2.0, 1.5, 1.2, 1.0)), Curve(steps, (2.0, 1.6, 1.7, 1.8)))
    >>> found.verdict, found.since
    ('overfitted', 200)
    """
    points = min(len(train), len(validation))
    if points < MIN_POINTS:
        reason = f"the curves have only {points} point{'s' * (points != 1)}, but {MIN_POINTS} are needed"
        return Diagnosis("undecided", None, reason, "Validate more often: lower train.validate_every.")
    limit = train.values[0] if baseline is None else baseline
    starved = train.values[-1] >= _STARVED_ABOVE * limit
    falling = still_falling(validation)
    if not falling and (risen := _risen(train)) is not None:
        return risen
    if starved and not falling:
        return _starved(train, limit, "its first value" if baseline is None else "noise matched to the clips")
    if (overfitted := _overfitted(train, validation)) is not None:
        return overfitted
    if falling:
        return _stopped_early(validation, times=10 if starved else 2)
    return _well_fitted(train, validation)


def _risen(train: Curve) -> Diagnosis | None:
    lowest = int(np.argmin(train.values))
    rise = train.values[-1] / train.values[lowest] - 1
    if rise <= _RISEN:
        return None
    step = train.steps[lowest]
    reason = f"training rose by {rise:.0%} from its lowest value"
    action = "Lower optim.lr, to a quarter for instance; if a discriminator joined since then, adversarial.weight."
    return Diagnosis("underfitted", step, reason, action)


def _starved(train: Curve, limit: float, reference: str) -> Diagnosis:
    compared = "no better" if train.values[-1] >= limit else "hardly better"
    reason = f"training ends at {train.values[-1]:.3g}, {compared} than {reference} ({limit:.3g})"
    if train.steps[-1] < _FEW_STEPS:
        action = f"Train longer: {train.steps[-1]:,} steps are few; at least {_FEW_STEPS:,} say more."
    else:
        action = "Find a learning rate with codec train --lr-range-test, then train again."
    return Diagnosis("underfitted", None, reason, action)


def _overfitted(train: Curve, validation: Curve) -> Diagnosis | None:
    best = int(np.argmin(validation.values))
    best_step = validation.steps[best]
    rise = validation.values[-1] / validation.values[best] - 1
    if rise > _RISE and train.values[-1] <= (1 - _FALL) * train.at(best_step):
        reason = f"validation rose by {rise:.0%} from its lowest value while training kept falling"
        action = f"Train on audio from more groups; until you can, stop near step {best_step:,}."
        return Diagnosis("overfitted", best_step, reason, action)
    ratios = _ratios(train, validation)
    if ratios[-1] - ratios[0] > _APART:
        since = validation.steps[int(np.argmax(ratios - ratios[0] > _APART))]
        began = f"{abs(ratios[0] - 1):.0%} {'above' if ratios[0] >= 1 else 'below'}"
        reason = f"validation ends {ratios[-1] - 1:.0%} above training, and began {began}"
        return Diagnosis("overfitted", since, reason, "Train on audio from more groups, or switch on augmentation.")
    return None


def _stopped_early(validation: Curve, times: int) -> Diagnosis:
    last = validation.steps[-1]
    fall = 1 - validation.values[-1] / validation.at(0.75 * last)
    reason = f"validation was still falling, by {fall:.0%} over the last quarter of the steps"
    return Diagnosis("underfitted", None, reason, f"Train longer: at least {_round_up(times * last):,} steps.")


def _well_fitted(train: Curve, validation: Curve) -> Diagnosis:
    above = np.flatnonzero(np.array(validation.values) > (1 + _STILL_FALLING) * validation.values[-1])
    level_from = min(int(above[-1]) + 1, len(validation) - 1) if len(above) else 0
    difference = abs(_ratios(train, validation)[-1] - 1)
    reason = f"validation is level and within {difference:.0%} of training"
    action = "Nothing to repair; for more quality at this bit rate, try a wider decoder."
    return Diagnosis("well fitted", validation.steps[level_from], reason, action)


def _ratios(train: Curve, validation: Curve) -> np.ndarray:
    return np.array([value / train.at(step) for step, value in zip(validation.steps, validation.values)])


def still_falling(validation: Curve) -> bool:
    """Decide whether a curve fell by more than 5 % over the last quarter of the steps.

    Args:
        validation: the curve

    Returns:
        True if it did.
    """
    return validation.values[-1] < (1 - _STILL_FALLING) * validation.at(0.75 * validation.steps[-1])


def _prepend_first_batch(train: Curve, batches: Curve) -> Curve:
    """Add the loss of the first batch: a run that starts well may learn most before the first validation."""
    if batches.steps[0] >= train.steps[0] or batches.values[0] <= train.values[0]:
        return train
    return Curve((batches.steps[0], *train.steps), (batches.values[0], *train.values))


def _round_up(steps: int) -> int:
    """Round up to two digits."""
    scale = 10 ** max(0, len(str(steps)) - 2)
    return -(-steps // scale) * scale


def diagnose_run(run: Path, baseline_mel: float | None = None, warmup_steps: int = 0) -> Diagnosis:
    """Diagnose a run from its folder.

    Args:
        run: folder of the run
        baseline_mel: see :func:`diagnose_curves`
        warmup_steps: see :func:`diagnose_curves`

    Returns:
        The verdict.
    """
    return diagnose_curves(read_curves(run), baseline_mel, warmup_steps)


def diagnose_curves(curves: Curves, baseline_mel: float | None = None, warmup_steps: int = 0) -> Diagnosis:
    """Diagnose a run from its curves: of the mel distance or, without it, of the total loss.

    Args:
        curves: all curves of the run
        baseline_mel: mel distance of noise, for runs that did not record their own
        warmup_steps: the recipe's ``optim.warmup_steps``. Until then the diagnosis is undecided, since the low learning
            rate makes curves level.

    Returns:
        The verdict.
    """
    if NOISE_BASELINE in curves:  # of the crops and with the scales of the curves, unlike that of an evaluation
        baseline_mel = curves[NOISE_BASELINE].values[-1]
    curves = comparable_curves(curves)
    empty = Curve((), ())
    for term in DIAGNOSIS_TERMS:
        train, validation = (curves.get((split, term), empty) for split in (TRAINING_EVALUATION, VALIDATION))
        if len(train) and len(validation):
            baseline = baseline_mel if term == "mel" else None
            if baseline is None and (batches := curves.get(("train", term))) is not None:
                train = _prepend_first_batch(train, batches)
            found = diagnose(train, validation, baseline)
            if found.verdict != "undecided" and validation.steps[-1] <= warmup_steps:
                reason = f"the learning rate is still warming up, until step {warmup_steps:,}"
                found = Diagnosis("undecided", None, reason, "Train for longer, or lower optim.warmup_steps.")
            return replace(found, term=term)
    return diagnose(empty, empty)
