"""What a run will take, measured on a few of its own steps before it starts."""

import copy
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import torch

from codec.training.data import Crops
from codec.training.module import CodecModule
from codec.training.standing import duration, step_audio_s

STEPS = 4
ENOUGH_S = 10.0
"""Of steps that take longer than this, two are enough."""


@dataclass(frozen=True)
class Forecast:
    steps_per_s: float
    audio_s_per_s: float
    memory_gb: float
    """Peak of the GPU's memory where there is one, else of the process."""
    seconds: float
    """For the steps that are left, or until the clock stops the run."""

    @property
    def steps(self) -> int:
        """Within that time."""
        return round(self.seconds * self.steps_per_s)

    def text(self) -> str:
        end = datetime.now() + timedelta(seconds=self.seconds)
        day = "" if end.date() == datetime.now().date() else f"{end:%a %d %b} "
        return (
            f"forecast: {self.steps_per_s:.2f} steps/s, {self.audio_s_per_s:.0f} s of audio per second,"
            f" {self.memory_gb:.1f} GB, trained in {duration(self.seconds)} (about {day}{end:%H:%M}); validations and,"
            " at the end, fitting the tables of the codes come on top"
        )


def forecast(module: CodecModule, crops: Crops, device: torch.device) -> Forecast:
    """Times steps on a copy of the module, which is left as it is."""
    step_s = seconds_per_step(copy.deepcopy(module), crops, device)
    recipe = module.recipe
    left_s = (recipe.train.steps - module.step) * step_s
    if recipe.train.max_minutes:
        left_s = min(left_s, 60 * recipe.train.max_minutes)
    return Forecast(
        steps_per_s=1 / step_s,
        audio_s_per_s=step_audio_s(recipe) / step_s,
        memory_gb=_peak_memory_gb(device),
        seconds=left_s,
    )


def seconds_per_step(trial: CodecModule, crops: Crops, device: torch.device) -> float:
    """Median over a few steps: forward, losses, backward and the data behind them. Spoils ``trial``."""
    trial = trial.to(device).train()
    times: list[float] = []
    for step in range(STEPS):
        if step >= 2 and sum(times) > ENOUGH_S:
            break
        start = time.perf_counter()
        wave = crops[step].to(device)
        output = trial.codec(wave, trial.draw_codebooks(len(wave), trial.generator_at(step)))
        loss = trial.losses(output.wave, wave).total + output.quantized.commitment
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def _peak_memory_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e9 if sys.platform == "darwin" else 1e6)  # bytes there, kilobytes elsewhere
