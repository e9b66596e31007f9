"""Learning-rate range test: the loss while the learning rate grows exponentially, on weights that are thrown away.

Source: L. Smith, "Cyclical learning rates for training neural networks", WACV 2017.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from codec.config import Recipe
from codec.training.data import CodecData, Crops
from codec.training.initial_state import new_module, set_first_weights
from codec.training.module import CodecModule

STEPS = 120
BATCHES = 4
"""The steps go round so few batches, and each loss counts relative to the first of its batch: how batches differ would
hide what the learning rate does."""
LOWEST, HIGHEST = 1e-6, 1.0
SMOOTHING = 0.9


@dataclass(frozen=True)
class LearningRateRange:
    rates: list[float]
    losses: list[float]
    """Relative to the start, smoothed; the test ends where they are twice their lowest."""

    @property
    def suggestion(self) -> float:
        """A third of the rate at which the loss was lowest: safely before it turns."""
        return self.rates[self.losses.index(min(self.losses))] / 3

    def text(self) -> str:
        rows = [f"{rate:9.1e}  {loss:13.4f}" for rate, loss in list(zip(self.rates, self.losses))[::5]]
        return "\n".join(["     rate  relative loss", *rows, f"suggested: --optim.lr {self.suggestion:.1e}"])


def learning_rate_range(module: CodecModule, crops: Crops) -> LearningRateRange:
    """Trains ``module`` (give a throw-away one) on a few of the run's own batches."""
    optimizer = module.configure_optimizers()[0]
    batches = [crops[step].to(module.device) for step in range(BATCHES)]
    raw, rates, losses, smooth = [], [], [], 0.0
    for step in tqdm(range(STEPS), desc="learning-rate range"):
        rate = LOWEST * (HIGHEST / LOWEST) ** (step / (STEPS - 1))
        for group in optimizer.param_groups:
            group["lr"] = rate
        wave = batches[step % BATCHES]
        output = module.codec(wave)
        loss = module.losses(output.wave, wave).total + output.quantized.commitment
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.codec.parameters(), module.recipe.optim.clip_norm)
        optimizer.step()
        raw.append(loss.item())
        smooth = SMOOTHING * smooth + (1 - SMOOTHING) * raw[step] / raw[step % BATCHES]
        rates.append(rate)
        losses.append(smooth / (1 - SMOOTHING ** (step + 1)))
        if not losses[-1] < 2 * min(losses):
            break
    return LearningRateRange(rates, losses)


def run_lr_range_test(recipe: Recipe, data: Path) -> LearningRateRange:
    """Learning-rate range test for the recipe on the prepared data; leaves nothing behind."""
    module, crops = new_module(recipe), CodecData(data, recipe).train_crops
    set_first_weights(module, crops, None)
    return learning_rate_range(module.to("cuda" if torch.cuda.is_available() else "cpu"), crops)
