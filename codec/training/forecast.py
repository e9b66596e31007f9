"""A forecast of a run's time and memory, measured on a few of its own steps before it starts."""

import copy
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import torch

from codec.config import Recipe
from codec.losses.spectrograms import ALL_MEL_SCALES
from codec.model.codec import Codec
from codec.runtime.peak_memory import peak_memory_bytes
from codec.runtime.text import format_duration
from codec.training.cuda_graph import ORDINARY_STEPS
from codec.training.data_module import CodecData
from codec.training.fit_diagnosis import MIN_POINTS
from codec.training.fit_frequency_tables import estimate_fitting_s
from codec.training.module import CodecModule
from codec.training.step import StepInputs, StepKind, StepResult

_TIMED_STEPS = 4
_SLOWER = 1.2
"""Factor from which on a step with the discriminator is called slower."""
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
    slowdown: float
    """Factor by which the discriminator makes a step longer; 0 without it."""
    memory_gb: float
    """Peak memory of the GPU if there is one, else of the process."""
    tables_s: float = 0.0
    """Seconds to fit the frequency tables at the end; 0 if they are not fitted."""
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
            speeds.append(f"{since}{self.adversarial_steps_per_s:.2f} steps/s, {audio}{self._slower()}")
        if self.quantized_from is not None:
            speeds.append(f"without quantizer until about step {self.quantized_from:,}")
        validations = -(-self.steps // validate_every)
        validations_s = self.validation_s * validations
        parts = [
            f"{format_duration(self.seconds)} of training",
            f"{format_duration(validations_s)} of {validations} validation{'s' if validations > 1 else ''}",
        ]
        if self.tables_s:
            parts.append(f"about {format_duration(self.tables_s)} to fit the frequency tables")
        end = datetime.now() + timedelta(seconds=self.seconds + validations_s + self.tables_s)
        day = "" if end.date() == datetime.now().date() else f"{end:%a %d %b} "
        return (
            f"forecast: {'; '.join(speeds)}; {self.memory_gb:.1f} GB; {', '.join(parts[:-1])} and {parts[-1]} (until"
            f" about {day}{end:%H:%M})"
        )

    def _slower(self) -> str:
        """Name the discriminator if it slows the run."""
        if self.slowdown < _SLOWER:
            return ""
        return (
            f" (the discriminator makes a step {self.slowdown:.1f} times as long; adversarial.every and"
            " adversarial.width can change that)"
        )


def forecast(module: CodecModule, data: CodecData, device: torch.device, *, fit_tables: bool = True) -> Forecast:
    """Time a few training steps, with and without the discriminator, and a batch of validation.

    Args:
        module: the training; copies of it are timed, and it remains unchanged
        data: its data
        device: device of the training
        fit_tables: whether the frequency tables are fitted at the end

    Returns:
        The forecast of the rest of the run.
    """
    recipe, step = module.recipe, module.state.step
    batches = sum(len(loader) for loader in data.val_dataloader())
    start = recipe.adversarial.start_step if module.discriminator is not None else recipe.train.steps
    plain_steps = max(0, min(start, recipe.train.steps) - step)
    adversarial_steps = max(0, recipe.train.steps - max(step, start))
    plain_s, adversarial_s = seconds_per_step(copy.deepcopy(module), data, device), 0.0
    if adversarial_steps:
        adversarial_s = seconds_per_step(copy.deepcopy(module), data, device, adversarial=True)
    seconds, steps = plain_steps * plain_s + adversarial_steps * adversarial_s, plain_steps + adversarial_steps
    limit = 60 * recipe.train.max_minutes * max(0.0, 1 - module.state.time_share)
    if recipe.train.max_minutes and seconds > limit:
        plain = min(plain_steps, int(limit / plain_s))
        rest = limit - plain * plain_s
        steps = plain + (int(rest / adversarial_s) if plain == plain_steps and adversarial_s else 0)
        seconds = limit
    audio_s, plain_takes_part = recipe.step_audio_s, bool(plain_steps or not adversarial_steps)
    return Forecast(
        steps=steps,
        seconds=seconds,
        validation_s=batches * _seconds_per_validation_batch(copy.deepcopy(module), data, device),
        steps_per_s=1 / plain_s if plain_takes_part else None,
        audio_s_per_s=audio_s / plain_s if plain_takes_part else None,
        adversarial_steps_per_s=1 / adversarial_s if adversarial_s else None,
        adversarial_audio_s_per_s=audio_s / adversarial_s if adversarial_s else None,
        adversarial_from=max(step, start),
        slowdown=adversarial_s / plain_s,
        memory_gb=_peak_memory_gb(device),
        tables_s=_seconds_for_tables(module, data) if fit_tables else 0.0,
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


def seconds_per_step(trial: CodecModule, data: CodecData, device: torch.device, *, adversarial: bool = False) -> float:
    """Time a few whole steps, with their data.

    Args:
        trial: a module that is not used afterwards
        data: its data
        device: device of the measurement
        adversarial: whether the discriminator takes part, which is trained on its share of the steps

    Returns:
        Median seconds of a step.
    """
    trial = trial.to(device).train()
    compute = trial.make_computation(trial.configure_optimizers())
    kind = StepKind(spread_scales(trial.recipe.train.mel_scales), trial.quantizes, adversarial, adversarial)
    learning = _median_seconds(trial, compute, kind, data, device)
    every = trial.recipe.adversarial.every
    if not adversarial or every == 1:
        return learning
    resting = _median_seconds(trial, compute, replace(kind, train_discriminator=False), data, device)
    return learning / every + resting * (1 - 1 / every)


def _median_seconds(
    trial: CodecModule,
    compute: Callable[[StepInputs, StepKind], StepResult],
    kind: StepKind,
    data: CodecData,
    device: torch.device,
) -> float:
    times: list[float] = []
    uncounted = 1 + (ORDINARY_STEPS + 1 if trial.uses_graphs else 0)
    precision = torch.autocast(device.type, torch.bfloat16, enabled=trial.recipe.train.precision == "bf16")
    for step in range(uncounted + _TIMED_STEPS - 1):
        if step > uncounted and sum(times) > _ENOUGH_S:
            break
        start = time.perf_counter()
        wave, generator = data.load(step, device).waveform, trial.generator_at(step)
        codebooks = trial.own_codebooks(generator)
        with precision:
            compute(trial.step_inputs(wave, codebooks, trial.codec.draw_restarts(generator)), kind)
        _synchronise(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[uncounted:])


def spread_scales(number: int) -> tuple[int, ...]:
    """Choose mel scales whose windows, long and short, cost about as much as random ones on average.

    Args:
        number: number of scales

    Returns:
        Their numbers.

    >>> spread_scales(2), spread_scales(7)
    ((1, 5), (0, 1, 2, 3, 4, 5, 6))
    """
    scales = len(ALL_MEL_SCALES)
    return tuple(int((2 * i + 1) * scales / (2 * number)) for i in range(number))


@torch.no_grad()
def _seconds_per_validation_batch(trial: CodecModule, data: CodecData, device: torch.device) -> float:
    trial = trial.to(device)
    wave = data.load(0, device).waveform
    times: list[float] = []
    for _ in range(2):  # the first is slower
        start = time.perf_counter()
        trial.losses(trial.average(wave).waveform, wave, log_all=True)
        _synchronise(device)
        times.append(time.perf_counter() - start)
    return times[-1]


def _seconds_for_tables(module: CodecModule, data: CodecData) -> float:
    if not isinstance(module.average, Codec) or module.average.compatible_fingerprints:
        return 0.0
    return estimate_fitting_s(copy.deepcopy(module.average).cpu(), data.train_crops.split)


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _peak_memory_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return (peak_memory_bytes() or 0) / 1e9
