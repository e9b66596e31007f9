"""Training budgets: minutes of training or a number of steps, the same for every candidate."""

from dataclasses import dataclass, replace

import torch

from codec.config import Recipe
from codec.dataset.location import DataLocation
from codec.model.codec import Codec
from codec.training.data_module import CodecData
from codec.training.forecast import seconds_per_step
from codec.training.initial_state import new_module
from codec.training.module import CodecBuilder

WARM_UP_SHARE = 1 / 20
"""The learning rate rises during at most this share of the steps."""
STEPS_MARGIN = 10
"""Under a time limit, the step limit is this many times the expected steps, so that it is never reached."""


@dataclass(frozen=True)
class Budget:
    """The budget of one training without its validations.

    Args:
        minutes: minutes of training; 0: the budget is a number of steps.
        steps: number of steps; 0: the budget is a time.

    >>> str(Budget(0.0, 5000)), str(Budget(1.5, 0))
    ('5,000 steps', '1.5 minutes')
    """

    minutes: float
    steps: int

    def __str__(self) -> str:
        return f"{self.minutes:g} minutes" if self.minutes else f"{self.steps:,} steps"

    def expected_steps(self, recipe: Recipe, data: DataLocation, build: CodecBuilder = Codec) -> int:
        """Return the number of steps, or estimate how many fit into the time by timing a few.

        Args:
            recipe: recipe to train.
            data: prepared data.
            build: builds the codec.

        Returns:
            Steps, at least 1.
        """
        if self.steps:
            return self.steps
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        loaded = CodecData(data, recipe)
        loaded.make_resident(device)
        step_s = seconds_per_step(new_module(recipe, build), loaded, device)
        return max(1, int(60 * self.minutes / step_s))

    def limit_recipe(self, recipe: Recipe, expected_steps: int, validations: int, *, own_start: bool) -> Recipe:
        """Fit a recipe to the budget.

        Args:
            recipe: recipe to train.
            expected_steps: from :meth:`expected_steps`.
            validations: number of validations, spread evenly over the run.
            own_start: whether the recipe's discriminator keeps its start; else it starts at half of the run.

        Returns:
            The recipe with the budget as its end, and with warm-up, validations and discriminator scaled to it.

        >>> from codec.recipe import read_recipe
        >>> recipe = Budget(0.0, 1000).limit_recipe(read_recipe("speech_16k"), 1000, 4, own_start=False)
        >>> recipe.train.steps, recipe.train.validate_every
        (1000, 250)
        """
        train = replace(
            recipe.train,
            steps=self.steps or STEPS_MARGIN * expected_steps,
            max_minutes=self.minutes,
            validate_every=max(1, -(-expected_steps // validations)),
        )
        warm_up = min(recipe.optim.warmup_steps, max(1, round(WARM_UP_SHARE * expected_steps)))
        adversarial = recipe.adversarial
        if adversarial.weight > 0 and not own_start:
            adversarial = replace(adversarial, start_step=expected_steps // 2)
        return replace(recipe, train=train, optim=replace(recipe.optim, warmup_steps=warm_up), adversarial=adversarial)
