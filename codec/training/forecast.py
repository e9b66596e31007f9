"""A forecast of a run's time and memory, measured on a few of its own steps before it starts."""

import copy
import statistics
import time
from dataclasses import dataclass
from datetime import datetime, timedelta

import torch

from codec.config import Recipe
from codec.runtime.peak_memory import peak_memory_bytes
from codec.runtime.text import format_duration
from codec.training.adversarial_step import codec_objective, discriminator_objective
from codec.training.data import CodecData, Crops
from codec.training.fit_diagnosis import MIN_POINTS
from codec.training.module import CodecModule

_TIMED_STEPS = 4
_ENOUGH_S = 10.0
"""If two steps take longer than this, no further ones are timed."""


@dataclass(frozen=True)
class Forecast:
    """Forecast of the rest of a run.

    Speeds of a stage that is not part of it, with or without the discriminator, are None.
    """

    steps: int
    """Steps until the run ends, by its steps or by its time limit."""
    seconds: float
    """Seconds of training for these steps."""
    validation_s: float
    """Seconds of each validation."""
    steps_per_s: float | None
    """Speed without the discriminator."""
    audio_s_per_s: float | None
    """The same in seconds of audio per second."""
    adversarial_steps_per_s: float | None
    """Speed with the discriminator."""
    adversarial_audio_s_per_s: float | None
    """The same in seconds of audio per second."""
    adversarial_from: int
    """Step from which the discriminator takes part."""
    memory_gb: float
    """Peak memory of the GPU if there is one, else of the process."""
    quantized_from: int | None = None
    """Step at which a phase without quantizer ends; None if none is left."""

    def text(self, validate_every: int) -> str:
        """Describe the forecast in one line.

        Args:
            validate_every: steps between validations

        Returns:
            Speeds, memory and time.
        """
        speeds = []
        if self.steps_per_s is not None:
            speeds.append(f"{self.steps_per_s:.2f} steps/s, {self.audio_s_per_s:.0f} s of audio per second")
        if self.adversarial_steps_per_s is not None:
            since = f"with the discriminator, from step {self.adversarial_from:,} on, " if speeds else ""
            audio = f"{self.adversarial_audio_s_per_s:.0f} s of audio per second"
            speeds.append(f"{since}{self.adversarial_steps_per_s:.2f} steps/s, {audio}")
        if self.quantized_from is not None:
            speeds.append(f"without quantizer until about step {self.quantized_from:,}")
        validations_s = self.validation_s * -(-self.steps // validate_every)
        end = datetime.now() + timedelta(seconds=self.seconds + validations_s)
        day = "" if end.date() == datetime.now().date() else f"{end:%a %d %b} "
        return (
            f"forecast: {'; '.join(speeds)}; {self.memory_gb:.1f} GB; {format_duration(self.seconds)} of training and"
            f" {format_duration(validations_s)} of validations (until about {day}{end:%H:%M}), and then the time to"
            " fit the frequency tables"
        )


def forecast(module: CodecModule, data: CodecData, device: torch.device) -> Forecast:
    """Time a few training steps, with and without the discriminator, and a batch of validation.

    Args:
        module: the training; copies of it are timed, and it remains unchanged
        data: its data
        device: device of the training

    Returns:
        The forecast of the rest of the run.
    """
    recipe, crops, step = module.recipe, data.train_crops, module.state.step
    batches = sum(len(loader) for loader in data.val_dataloader())
    start = recipe.adversarial.start_step if module.discriminator is not None else recipe.train.steps
    plain_steps = max(0, min(start, recipe.train.steps) - step)
    adversarial_steps = max(0, recipe.train.steps - max(step, start))
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
        adversarial_from=max(step, start),
        memory_gb=_peak_memory_gb(device),
        quantized_from=None if module.quantizes else round(recipe.train.unquantized_share * (step + steps)),
    )


def choose_validation_interval(recipe: Recipe, steps: int) -> int:
    """Choose the steps between validations, so that there are enough for a diagnosis.

    Args:
        recipe: settings with the usual interval, ``train.validate_every``
        steps: expected steps of the run

    Returns:
        The recipe's interval, or a tenth of the run if that is too short for three validations.
    """
    every = recipe.train.validate_every
    return every if steps >= MIN_POINTS * every else min(every, max(1, steps // 10))


def seconds_per_step(trial: CodecModule, crops: Crops, device: torch.device, *, adversarial: bool = False) -> float:
    """Time a few steps: loading, forward pass, losses and backward pass.

    Args:
        trial: a module that is not used afterwards
        crops: training crops
        device: device of the measurement
        adversarial: whether the discriminator takes part, which is trained on its share of the steps

    Returns:
        Median seconds of a step.
    """
    trial = trial.to(device).train()
    discriminator = trial.discriminator if adversarial else None
    times: list[float] = []
    discriminator_times: list[float] = []
    for step in range(_TIMED_STEPS):
        if step >= 2 and sum(times) > _ENOUGH_S:
            break
        start = time.perf_counter()
        wave = crops[step].to(device)
        output = trial.codec(wave, trial.draw_codebooks(len(wave), trial.generator_at(step)))
        loss = trial.losses(output.waveform, wave).total + output.quantized.commitment
        if discriminator is not None:
            before = time.perf_counter()
            discriminator_objective(discriminator, trial.recipe.adversarial.loss, output.waveform, wave).backward()
            _synchronise(device)
            discriminator_times.append(time.perf_counter() - before)
            objective = codec_objective(discriminator, trial.recipe.adversarial.loss, output.waveform, wave)
            loss = loss + sum(objective.terms.values())
        loss.backward()
        _synchronise(device)
        times.append(time.perf_counter() - start)
    if not discriminator_times:
        return statistics.median(times[1:])
    skipped = 1 - 1 / trial.recipe.adversarial.every
    return statistics.median(times[1:]) - skipped * statistics.median(discriminator_times[1:])


@torch.no_grad()
def _seconds_per_validation_batch(trial: CodecModule, crops: Crops, device: torch.device) -> float:
    trial = trial.to(device)
    wave = crops[0].to(device)
    times: list[float] = []
    for _ in range(2):  # the first is slower
        start = time.perf_counter()
        trial.losses(trial.average(wave).waveform, wave, log_all=True)
        _synchronise(device)
        times.append(time.perf_counter() - start)
    return times[-1]


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _peak_memory_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return (peak_memory_bytes() or 0) / 1e9
