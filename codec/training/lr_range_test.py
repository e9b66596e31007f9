"""Learning-rate range test: the loss while the learning rate grows exponentially, on weights that are discarded.

Source: L. Smith, "Cyclical learning rates for training neural networks", WACV 2017.
"""

from dataclasses import dataclass

import torch

from codec.config import Recipe
from codec.dataset.location import DataLocation
from codec.runtime.progress import ProgressBar
from codec.training.crops import Crops
from codec.training.data_module import CodecData
from codec.training.initial_state import new_module, set_first_weights
from codec.training.module import CodecModule
from codec.training.optimizers import set_learning_rate

_TEST_STEPS = 120
_TEST_BATCHES = 4
"""The steps cycle through this number of batches, and each loss is divided by the first loss of its batch: differences
between batches would hide the effect of the learning rate."""
_LOWEST_RATE, _HIGHEST_RATE = 1e-6, 1.0
_SMOOTHING = 0.9


@dataclass(frozen=True)
class LearningRateRange:
    """Result of a learning-rate range test."""

    rates: list[float]
    """Learning rates, ascending."""
    losses: list[float]
    """Loss at each rate relative to the start, smoothed; the last is about twice the lowest."""

    @property
    def suggestion(self) -> float:
        """A third of the rate with the lowest loss: safely below the rate at which the loss rises again."""
        return self.rates[self.losses.index(min(self.losses))] / 3

    def text(self) -> str:
        """Format the result as a table.

        Returns:
            Every fifth rate with its loss, and the suggested setting.
        """
        rows = [f"{rate:9.1e}  {loss:13.4f}" for rate, loss in list(zip(self.rates, self.losses))[::5]]
        return "\n".join(["     rate  relative loss", *rows, f"suggested: --optim.lr {self.suggestion:.1e}"])


def run_lr_range_test(recipe: Recipe, data: DataLocation) -> LearningRateRange:
    """Test learning rates for a recipe; no files are written.

    Args:
        recipe: the recipe to train
        data: the folder that ``codec prepare`` wrote

    Returns:
        The losses and a suggestion.

    Raises:
        UserError: the data does not fit the recipe.
    """
    module, crops = new_module(recipe), CodecData(data, recipe).train_crops
    set_first_weights(module, crops, None)
    return _try_rates(module.to("cuda" if torch.cuda.is_available() else "cpu"), crops)


def _try_rates(module: CodecModule, crops: Crops) -> LearningRateRange:
    """Train the module, which is not used afterwards, while the learning rate grows."""
    optimizer = module.configure_optimizers()[0]
    batches = [crops[step].to(module.device) for step in range(_TEST_BATCHES)]
    raw, rates, losses, smooth = [], [], [], 0.0
    for step in ProgressBar(range(_TEST_STEPS), desc="learning-rate range"):
        rate = _LOWEST_RATE * (_HIGHEST_RATE / _LOWEST_RATE) ** (step / (_TEST_STEPS - 1))
        set_learning_rate(optimizer, rate)
        wave = batches[step % _TEST_BATCHES]
        output = module.codec(wave)
        loss = module.losses(output.waveform, wave).total + output.quantized.commitment
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.codec.parameters(), module.recipe.optim.clip_norm)
        optimizer.step()
        raw.append(loss.item())
        smooth = _SMOOTHING * smooth + (1 - _SMOOTHING) * raw[step] / raw[step % _TEST_BATCHES]
        rates.append(rate)
        losses.append(smooth / (1 - _SMOOTHING ** (step + 1)))
        if not losses[-1] < 2 * min(losses):
            break
    return LearningRateRange(rates, losses)
