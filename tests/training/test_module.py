"""The training step: schedule, random codebooks, moving average, discriminator."""

import math

import numpy as np
import pytest
import torch

from codec.training.learning_rate import learning_rate_ratio
from codec.training.module import CodecModule
from codec.training.optimizers import set_learning_rate
from codec.training.trainer import train
from tests.helpers.runs import tiny_recipe


def test_the_learning_rate_warms_up_and_ends_at_the_final_ratio():
    plan = tiny_recipe("--train.steps=1000", "--optim.warmup_steps=10", "--optim.final_lr_ratio=0.1")
    ratios = [learning_rate_ratio(plan, step) for step in range(1001)]
    assert ratios[:10] == pytest.approx(np.arange(1, 11) / 10, rel=1e-3)
    assert ratios[500] == pytest.approx(0.55) and ratios[1000] == pytest.approx(0.1)
    assert all(np.diff(ratios[10:]) < 0)


def test_the_number_of_codebooks_has_the_distribution_of_the_recipe():
    module = CodecModule(tiny_recipe("--codec.quantizer.full_rate_share=0.4"))
    drawn = module.draw_codebooks(30000, module.generator_at(0))
    some = drawn[drawn < 3]
    assert len(some) / 30000 == pytest.approx(0.6, abs=0.02) and drawn.max() == 3
    torch.testing.assert_close(torch.histc(some, 4, 1, 3) / len(some), torch.full((4,), 0.25), atol=0.02, rtol=0)


def test_low_bit_rates_can_be_drawn_more_often():
    module = CodecModule(tiny_recipe("--codec.quantizer.full_rate_share=0", "--train.rates=log_uniform"))
    drawn = module.draw_codebooks(30000, module.generator_at(0))
    assert 1 <= drawn.min() and drawn.max() <= 3
    torch.testing.assert_close(
        torch.histc(drawn.log(), 4, 0, math.log(3)) / 30000, torch.full((4,), 0.25), atol=0.02, rtol=0
    )


def test_the_average_has_the_decay_of_the_recipe(tmp_path, prepared, monkeypatch):
    seen, step = [], CodecModule.training_step

    def watched(self, *given):
        before = self.average.decoder.last.weight.clone()
        step(self, *given)
        weights = (before, self.codec.decoder.last.weight.clone(), self.average.decoder.last.weight.clone())
        seen.append((self.state.step, *weights))

    monkeypatch.setattr(CodecModule, "training_step", watched)
    train(tiny_recipe("--optim.ema_decay=0.3"), prepared, tmp_path, quiet=True)
    for step, before, weight, after in seen:
        decay = min(0.3, (1 + step) / (10 + step))
        torch.testing.assert_close(after, decay * before + (1 - decay) * weight)
    assert len(seen) == 12 and not torch.equal(seen[-1][2], seen[-1][3])


def test_the_discriminator_starts_at_its_step_and_steps_are_counted_once(tmp_path, prepared):
    extra = [
        "--adversarial.weight=0.1",
        "--adversarial.width=4",
        "--adversarial.start_step=8",
        "--adversarial.loss=bce",
    ]
    assert train(tiny_recipe(*extra), prepared, tmp_path, quiet=True).steps == 12
    state = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    generator, discriminator = state["optimizer_states"]
    assert {int(entry["step"]) for entry in generator["state"].values()} == {12}
    assert {int(entry["step"]) for entry in discriminator["state"].values()} == {4}


@pytest.mark.parametrize("ratio", [0.0, 0.25])
def test_the_linear_skip_paths_have_a_learning_rate_of_their_own(ratio):
    """The first step of AdamW moves every weight that has a gradient by the learning rate."""
    module = CodecModule(tiny_recipe(f"--optim.skip_lr_ratio={ratio}", "--optim.lr=1e-3"))
    (optimizer,) = module.configure_optimizers()
    before = {name: weight.detach().clone() for name, weight in module.codec.named_parameters()}
    set_learning_rate(optimizer, 1e-3)
    waveform = 0.1 * torch.randn(2, 1, 6400, generator=torch.Generator().manual_seed(0))
    module.codec(waveform).waveform.square().mean().backward()
    optimizer.step()
    moved = {name: (weight.detach() - before[name]).abs().max() for name, weight in module.codec.named_parameters()}
    for network in ("encoder", "decoder"):
        assert moved[f"{network}.direct"].item() == pytest.approx(ratio * 1e-3, rel=0.01)
        assert moved[f"{network}.last.weight"].item() == pytest.approx(1e-3, rel=0.01)
