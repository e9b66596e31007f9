"""Statistics of the steps since the last row of metrics, and of the discriminator."""

import json

import pytest
import torch

from codec.losses.adversarial import discriminator_statistics
from codec.training.step_statistics import StepStatistics


def summary(statistics: StepStatistics) -> dict[str, float]:
    copy, summarise = statistics.take()
    return summarise(copy.read())


def test_means_and_the_median_and_largest_gradient_norm_survive_a_checkpoint():
    statistics, values = StepStatistics(), [3.0, 1.0, 100.0]
    statistics.add(grad_norm=torch.tensor(torch.nan))  # of a skipped step
    for value in values[:2]:
        statistics.add(grad_norm=torch.tensor(value), restarted=value)
    other = StepStatistics()
    other.load_state_dict(json.loads(json.dumps(statistics.state_dict())))
    for one in (statistics, other):
        one.add(grad_norm=torch.tensor(values[2]), restarted=values[2])
    expected = summary(statistics)
    assert expected == {"grad_norm": 3.0, "grad_norm_max": 100.0, "restarted": pytest.approx(104 / 3)}
    assert summary(other) == expected and summary(statistics) == {}


@pytest.mark.parametrize("kind", ["least_squares", "hinge", "bce"])
def test_discriminator_accuracy_is_one_if_it_knows_and_a_half_if_it_guesses(kind):
    middle = 0.5 if kind == "least_squares" else 0.0
    real, fake = [torch.full((2, 7), middle + 1), torch.full((3,), middle + 1)], [torch.full((4,), middle - 1)] * 2
    found = discriminator_statistics(kind, real, fake)
    assert found["discriminator_right"] == 1
    assert found["real_score"] - found["fake_score"] == pytest.approx(2)
    assert discriminator_statistics(kind, fake, real)["discriminator_right"] == 0
    same = [middle + torch.randn(5000, generator=torch.Generator().manual_seed(0))]
    assert discriminator_statistics(kind, same, same)["discriminator_right"] == 0.5
