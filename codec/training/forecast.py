"""What a run will take, measured on a few of its own steps before it starts."""

import copy
import statistics
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import torch

from codec.runtime.peak_memory import peak_memory_bytes
from codec.runtime.text import format_duration
from codec.training.data import CodecData, Crops
from codec.training.module import CodecModule

STEPS = 4
ENOUGH_S = 10.0
"""Of steps that take longer than this, two are enough."""


@dataclass(frozen=True)
class Forecast:
    """Of the rest of a run. Speeds with the discriminator are None where there is none in it."""

    steps: int
    """Until it is done, or until its time is over."""
    seconds: float
    """Of training for these steps."""
    validation_s: float
    """Of each validation."""
    steps_per_s: float | None
    audio_s_per_s: float | None
    """Without a discriminator; None where it is at work from now on."""
    adversarial_steps_per_s: float | None
    adversarial_audio_s_per_s: float | None
    adversarial_from: int
    """Step."""
    memory_gb: float
    """Peak of the GPU's memory where there is one, else of the process."""

    def text(self, validate_every: int) -> str:
        """In a line. ``validate_every``: steps between validations."""
        speeds = []
        if self.steps_per_s is not None:
            speeds.append(f"{self.steps_per_s:.2f} steps/s, {self.audio_s_per_s:.0f} s of audio per second")
        if self.adversarial_steps_per_s is not None:
            since = f"with the discriminator, from step {self.adversarial_from:,} on, " if speeds else ""
            audio = f"{self.adversarial_audio_s_per_s:.0f} s of audio per second"
            speeds.append(f"{since}{self.adversarial_steps_per_s:.2f} steps/s, {audio}")
        judged = self.validation_s * -(-self.steps // validate_every)
        end = datetime.now() + timedelta(seconds=self.seconds + judged)
        day = "" if end.date() == datetime.now().date() else f"{end:%a %d %b} "
        return (
            f"forecast: {'; '.join(speeds)}; {self.memory_gb:.1f} GB, trained in {format_duration(self.seconds)} and"
            f" {format_duration(judged)} of validations (about {day}{end:%H:%M}); at the end, fitting the tables"
            " of the codes comes on top"
        )


def forecast(module: CodecModule, data: CodecData, device: torch.device) -> Forecast:
    """Time steps of both stages, with and without the discriminator, and a validation, on a copy of the module, which
    is left as it is."""
    recipe, crops = module.recipe, data.train_crops
    batches = sum(len(loader) for loader in data.val_dataloader())
    start = recipe.adversarial.start_step if module.discriminator is not None else recipe.train.steps
    plain_steps = max(0, min(start, recipe.train.steps) - module.step)
    adversarial_steps = max(0, recipe.train.steps - max(module.step, start))
    plain_s = adversarial_s = 0.0
    if plain_steps or not adversarial_steps:
        plain_s = seconds_per_step(copy.deepcopy(module), crops, device)
    if adversarial_steps:
        adversarial_s = seconds_per_step(copy.deepcopy(module), crops, device, adversarial=True)
    seconds, steps = plain_steps * plain_s + adversarial_steps * adversarial_s, plain_steps + adversarial_steps
    if recipe.train.max_minutes and seconds > (limit := 60 * recipe.train.max_minutes):
        plain = min(plain_steps, int(limit / plain_s)) if plain_s else 0
        rest = limit - plain * plain_s
        steps = plain + (int(rest / adversarial_s) if plain == plain_steps and adversarial_s else 0)
        seconds = limit
    audio_s = recipe.step_audio_s
    return Forecast(
        steps=steps,
        seconds=seconds,
        validation_s=batches * _seconds_per_validation_batch(copy.deepcopy(module), crops, device),
        steps_per_s=1 / plain_s if plain_s else None,
        audio_s_per_s=audio_s / plain_s if plain_s else None,
        adversarial_steps_per_s=1 / adversarial_s if adversarial_s else None,
        adversarial_audio_s_per_s=audio_s / adversarial_s if adversarial_s else None,
        adversarial_from=max(module.step, start),
        memory_gb=_peak_memory_gb(device),
    )


def seconds_per_step(trial: CodecModule, crops: Crops, device: torch.device, *, adversarial: bool = False) -> float:
    """Median over a few steps: forward, losses, backward and the data behind them. Spoils ``trial``.

    ``adversarial``: with the discriminator, which learns on its share of the steps.
    """
    trial = trial.to(device).train()
    discriminator = trial.discriminator if adversarial else None
    times: list[float] = []
    learning: list[float] = []
    for step in range(STEPS):
        if step >= 2 and sum(times) > ENOUGH_S:
            break
        start = time.perf_counter()
        wave = crops[step].to(device)
        output = trial.codec(wave, trial.draw_codebooks(len(wave), trial.generator_at(step)))
        loss = trial.losses(output.wave, wave).total + output.quantized.commitment
        if discriminator is not None:
            before = time.perf_counter()
            trial.discriminator_loss(discriminator, output.wave, wave).backward()
            _finish(device)
            learning.append(time.perf_counter() - before)
            loss = loss + sum(trial.judge(discriminator, output.wave, wave).values())
        loss.backward()
        _finish(device)
        times.append(time.perf_counter() - start)
    saved = statistics.median(learning[1:]) * (1 - 1 / trial.recipe.adversarial.every) if learning else 0.0
    return statistics.median(times[1:]) - saved


@torch.no_grad()
def _seconds_per_validation_batch(trial: CodecModule, crops: Crops, device: torch.device) -> float:
    trial = trial.to(device)
    wave = crops[0].to(device)
    times: list[float] = []
    for _ in range(2):  # the first is slower
        start = time.perf_counter()
        trial.losses(trial.average(wave).wave, wave, log_all=True)
        _finish(device)
        times.append(time.perf_counter() - start)
    return times[-1]


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _peak_memory_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return (peak_memory_bytes() or 0) / 1e9
