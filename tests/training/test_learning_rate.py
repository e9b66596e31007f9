"""The learning-rate schedule under a time limit."""

import pytest

from codec.recipe import read_recipe
from codec.training.learning_rate import learning_rate_ratio
from tests.helpers.tiny import TINY


def test_the_learning_rate_ends_with_the_time():
    recipe = read_recipe("quickstart", [*TINY, "--optim.warmup_steps=1", "--train.steps=1000"])
    ratios = [learning_rate_ratio(recipe, 0, time_share) for time_share in (0.0, 0.5, 1.0, 1.1)]
    assert ratios == pytest.approx([1, 0.51, 0.02, 0.02])
