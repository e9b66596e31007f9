"""The status of a run: time left, the best step, and why it stopped."""

import pytest

from codec.recipe import read_recipe
from codec.training.metrics_log import Curve
from codec.training.status import explain_best, explain_early_stop, training_status
from tests.helpers.tiny import TINY

RECIPE = read_recipe(
    "quickstart", [*TINY, "--train.steps=10000", "--train.validate_every=500", "--train.max_minutes=0"]
)


def test_time_left_covers_the_remaining_steps_and_validations():
    minutes = {("val", "minutes"): Curve((500, 1000), (5.0, 9.0)), ("val", "total"): Curve((500, 1000), (2.0, 1.0))}
    found = training_status(minutes, RECIPE)
    assert found.left_s == pytest.approx(60 * 9000 / 125) and found.share == pytest.approx(0.1)
    judged = minutes | {("val", "judging_s"): Curve((500, 1000), (30.0, 10.0))}
    assert training_status(judged, RECIPE).left_s == pytest.approx(60 * 9000 / 125 + 18 * 10)
    limited = read_recipe("quickstart", [*TINY, "--train.steps=10000", "--train.max_minutes=12"])
    assert (
        training_status(minutes, limited).left_s == pytest.approx(180)
        and training_status(minutes, limited).share == 0.75
    )
    # 2 crops of 0.24 s in a step, 500 steps in 4 minutes
    assert found.audio_s_per_s == pytest.approx(0.48 * 500 / 240)
    assert training_status({}, RECIPE) is None


def test_explanations_name_the_steps_and_the_distance():
    validation = Curve((10, 20, 30, 40), (2.0, 1.0, 1.25, 1.1))
    assert "step 20 has the lowest validation loss, 1 " in explain_best(validation)
    assert "9.1% below the second best, step 40" in explain_best(validation) and "10.0% higher" in explain_best(
        validation
    )
    assert explain_best(validation, 20) == explain_best(validation) and "step 40, with" in explain_best(validation, 40)
    assert "2 validations without improvement on step 20" in explain_early_stop(validation, 2)
    assert "since then 1.1" in explain_early_stop(validation, 2)
