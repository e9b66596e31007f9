"""How long candidates are trained, so that all of them get as much: minutes of training, or steps."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from codec.config import Recipe
from codec.model.codec import Codec
from codec.training.data import CodecData
from codec.training.forecast import seconds_per_step
from codec.training.initial_state import new_module
from codec.training.module import CodecBuilder

WARM_UP = 1 / 20
"""The learning rate has risen after this share of the steps at the latest."""
MANY = 10
"""Under a limit of time the steps are not counted: this many times those expected are allowed."""


@dataclass(frozen=True)
class Budget:
    """Of one training, validation not counted; one of the two is 0."""

    minutes: float
    steps: int

    def __str__(self) -> str:
        return f"{self.minutes:g} minutes" if self.minutes else f"{self.steps:,} steps"

    def expected_steps(self, recipe: Recipe, data: Path, build: CodecBuilder = Codec) -> int:
        """The steps, or about as many as fit into the minutes: a few are timed."""
        if self.steps:
            return self.steps
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        step_s = seconds_per_step(new_module(recipe, build), CodecData(data, recipe).train_crops, device)
        return max(1, int(60 * self.minutes / step_s))

    def limit(self, recipe: Recipe, expected_steps: int, validations: int, *, own_start: bool) -> Recipe:
        """The recipe for a run of about so many steps: its end, its warm-up, when it is validated, and, unless it has
        its ``own_start``, half of the run without the discriminator, where there is one."""
        train = replace(
            recipe.train,
            steps=self.steps or MANY * expected_steps,
            max_minutes=self.minutes,
            validate_every=max(1, -(-expected_steps // validations)),
        )
        warm_up = min(recipe.optim.warmup_steps, max(1, round(WARM_UP * expected_steps)))
        adversarial = recipe.adversarial
        if adversarial.weight > 0 and not own_start:
            adversarial = replace(adversarial, start_step=expected_steps // 2)
        return replace(recipe, train=train, optim=replace(recipe.optim, warmup_steps=warm_up), adversarial=adversarial)
