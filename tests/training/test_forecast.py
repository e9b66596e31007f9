"""The forecast of a run and the learning-rate range test, both before a run."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from codec.training.data_module import CodecData
from codec.training.forecast import forecast
from codec.training.lr_range_test import run_lr_range_test
from codec.training.module import CodecModule
from tests.helpers.runs import RANDOM, tiny_recipe


def test_the_forecast_changes_nothing(prepared):
    plan = tiny_recipe(*RANDOM)
    module, data = CodecModule(plan), CodecData(prepared, plan)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    found = forecast(module, data, torch.device("cpu"), fit_tables=False)
    assert found.tables_s == 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert module.codec.encoder.last.weight.grad is None
    assert found.seconds == pytest.approx(12 / found.steps_per_s)
    assert found.audio_s_per_s == pytest.approx(0.48 * found.steps_per_s)


def test_the_forecast_counts_both_stages_and_validations(prepared):
    """The wide discriminator, trained in every third step, makes a step several times slower."""
    extra = [
        "--adversarial.weight=0.1",
        "--adversarial.width=48",
        "--adversarial.every=3",
        "--codec.quantizer.contexts=2",
    ]
    plan = tiny_recipe(*extra, "--train.steps=1000", "--adversarial.start_step=600", "--train.max_minutes=0")
    module, data = CodecModule(plan), CodecData(prepared, plan)
    found = forecast(module, data, torch.device("cpu"))
    assert found.steps_per_s > 1.5 * found.adversarial_steps_per_s and found.adversarial_from == 600
    assert found.seconds == pytest.approx(600 / found.steps_per_s + 400 / found.adversarial_steps_per_s)
    assert found.steps == 1000 and found.validation_s > 0
    text = found.text(250)
    assert "step 600" in text and f"{found.slowdown:.1f} times" in text and "4 validations" in text
    assert found.tables_s > 0 and f"{found.adversarial_steps_per_s:.2f} steps/s" in text

    module.state.step = 700
    late = forecast(module, data, torch.device("cpu"))
    assert late.steps_per_s is None and late.steps == 300
    assert late.seconds == pytest.approx(300 / late.adversarial_steps_per_s)

    minutes = found.seconds / 2 / 60
    limited = CodecModule(replace(plan, train=replace(plan.train, max_minutes=minutes)))
    assert forecast(limited, data, torch.device("cpu")).seconds == pytest.approx(60 * minutes)
    limited.state.time_share = 0.75  # of a run that is resumed
    assert forecast(limited, data, torch.device("cpu"), fit_tables=False).seconds == pytest.approx(15 * minutes)


def test_the_learning_rate_test_stops_before_what_it_suggests_diverges(prepared):
    found = run_lr_range_test(tiny_recipe(), prepared)
    assert all(np.diff(found.rates) > 0) and 1e-6 < found.suggestion < found.rates[-1]
    lowest = int(np.argmin(found.losses))
    assert found.losses[0] == 1 and found.losses[lowest] < 0.97 < 1.2 * found.losses[lowest] < found.losses[-1]
    assert f"{found.suggestion:.1e}" in found.text()
