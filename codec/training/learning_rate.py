"""The schedule of the learning rate: linear warm-up, then cosine decay.

Source: I. Loshchilov and F. Hutter, "SGDR: Stochastic gradient descent with warm restarts", ICLR 2017 (without the
restarts).
"""

import math

from codec.config import Recipe


def share_done(recipe: Recipe, step: int, time_share: float = 0.0) -> float:
    """Compute the share of a run that is done, by its steps or its time limit, whichever is further.

    Args:
        recipe: number of steps
        step: number of finished steps
        time_share: share of ``train.max_minutes`` that is used up

    Returns:
        A share from 0 to 1.
    """
    return min(1.0, max(step / recipe.train.steps, time_share))


def learning_rate_ratio(recipe: Recipe, step: int, time_share: float = 0.0) -> float:
    """Compute the learning rate of a step relative to the highest one, ``optim.lr``.

    It rises linearly over ``optim.warmup_steps`` and falls along half a cosine to ``optim.final_lr_ratio`` at the last
    step or, if that comes first, at the end of the time limit.

    Args:
        recipe: schedule and number of steps
        step: number of finished steps
        time_share: share of ``train.max_minutes`` that is used up, see
            :attr:`codec.training.state.TrainingState.time_share`

    Returns:
        A factor from 0 to 1.

    >>> from codec.config import OptimConfig, TrainConfig
    >>> recipe = Recipe(optim=OptimConfig(warmup_steps=10, final_lr_ratio=0.1), train=TrainConfig(steps=1000))
    >>> [round(learning_rate_ratio(recipe, step), 2) for step in (0, 9, 500, 1000)]
    [0.1, 1.0, 0.55, 0.1]
    """
    optim = recipe.optim
    warmup = min(1.0, (step + 1) / max(1, optim.warmup_steps))
    cosine = 0.5 * (1 + math.cos(math.pi * share_done(recipe, step, time_share)))
    return warmup * (optim.final_lr_ratio + (1 - optim.final_lr_ratio) * cosine)
