"""Training steps of a recipe on a device, in all settings that change their speed, beside steps of other codecs."""

import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import torch
from torch import Tensor

from codec.config import AdversarialConfig, Recipe
from codec.runtime.extras import installed
from codec.training.cuda_graph import ORDINARY_STEPS
from codec.training.forecast import spread_scales
from codec.training.module import CodecModule
from codec.training.step import StepInputs, StepKind
from eval.benchmarks.training_speed import PEER_RATE, PEER_STEPS, own_steps
from eval.systems.flops import count_flops

EAGER, COMPILED, GRAPH = "eager", "compiled", "graph"
_MATRIX = 4096
_COMPILE_S = 60.0
_STEPS_AT_ONCE = 5
NO_TIME = "no time left"


@dataclass(frozen=True)
class StepSetting:
    """Setting of a training step."""

    batch: int
    """Crops per step."""
    precision: Literal["32", "bf16"]
    """``32`` or ``bf16``, as in recipes."""
    mode: str
    """:data:`EAGER`, :data:`COMPILED` (the codec) or :data:`GRAPH` (the whole step is a CUDA graph)."""
    adversarial: bool
    """Whether the discriminator takes part, and learns."""


@dataclass(frozen=True)
class StepSpeed:
    """Speed of a training step."""

    name: str
    setting: StepSetting
    steps_per_s: float
    audio_s_per_s: float
    """Seconds of audio per second."""
    memory_gb: float
    """Peak memory of the device; 0 on a CPU."""
    launch_share: float
    """Time until the host has launched a step, relative to the time of the step: 1 if the device waits for the host."""
    matrix_share: float
    """Operations of matrix products per second, relative to the device's rate for a large product."""


@dataclass(frozen=True)
class NotTimed:
    """A setting without a measurement."""

    name: str
    setting: StepSetting | None
    reason: str


class TimeLeft:
    """Decides whether there is time for another measurement, which is expected to take as long as the longest so far.

    Args:
        seconds: time for all measurements from now on
    """

    def __init__(self, seconds: float):
        self._end = time.monotonic() + seconds
        self._asked_at: float | None = None
        self._longest = 0.0

    def suffices(self, least_s: float = 0.0) -> bool:
        """Ask before each measurement.

        Args:
            least_s: shortest time that the next one is known to take

        Returns:
            Whether it can begin.
        """
        now = time.monotonic()
        if self._asked_at is not None:
            self._longest = max(self._longest, now - self._asked_at)
        enough = self._end - now > max(self._longest, least_s)
        self._asked_at = now if enough else None
        return enough


def settings(device: torch.device, batches: Sequence[int]) -> list[StepSetting]:
    """Return the settings to measure, the most telling first, since time may not suffice for all.

    Args:
        device: the device
        batches: crops per step

    Returns:
        All combinations; compilation, which takes long, with the middle batch alone and last. On a CPU nothing is
        compiled or recorded.
    """
    modes = [EAGER, GRAPH] if device.type == "cuda" else [EAGER]
    middle = sorted(batches)[len(batches) // 2]
    precisions: tuple[Literal["32", "bf16"], ...] = ("bf16", "32")
    plain = [StepSetting(*values) for values in product(batches, precisions, modes, (False, True))]
    plain.sort(key=lambda one: one.batch != middle)
    if device.type == "cuda":
        plain += [StepSetting(middle, "bf16", COMPILED, adversarial) for adversarial in (False, True)]
    return plain


def time_steps(
    recipe: Recipe, device: torch.device, wanted: Sequence[StepSetting], seconds: float, each_s: float
) -> Iterator[StepSpeed | NotTimed]:
    """Time steps in each setting.

    Args:
        recipe: architecture and losses
        device: the device
        wanted: settings, in this order
        seconds: time for all of them; later ones are not timed when it is over
        each_s: time for the timed steps of a setting

    Yields:
        A speed for each setting, or why there is none.
    """
    clock, rates, operations = TimeLeft(seconds), dict[str, float](), dict[bool, float]()
    for setting in wanted:
        if not clock.suffices(_COMPILE_S if setting.mode == COMPILED else 2 * each_s):
            yield NotTimed("Lathe", setting, NO_TIME)
            continue
        if setting.precision not in rates:
            rates[setting.precision] = matrix_rate(device, setting.precision)
        try:
            if setting.adversarial not in operations:
                operations[setting.adversarial] = count_operations(recipe, setting.adversarial)
            yield _time(recipe, device, setting, each_s, rates[setting.precision], operations[setting.adversarial])
        except torch.OutOfMemoryError:
            yield NotTimed("Lathe", setting, "out of memory")
        except RuntimeError as error:  # a measurement that fails is a result; the others go on
            yield NotTimed("Lathe", setting, f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}")
        finally:
            _free(device)


def _time(
    recipe: Recipe, device: torch.device, setting: StepSetting, each_s: float, rate: float, operations: float
) -> StepSpeed:
    train = replace(
        recipe.train,
        precision=setting.precision,  # type: ignore[arg-type]
        compile=setting.mode == COMPILED,
        cuda_graph=setting.mode == GRAPH,
    )
    wanted = replace(recipe, adversarial=_adversarial(recipe, setting.adversarial), train=train)
    module = CodecModule(wanted).to(device).train()
    compute = module.make_computation(module.configure_optimizers())
    inputs, kind = _inputs(module, setting.batch, device), _kind(recipe, setting.adversarial)

    def run() -> None:
        with autocast(device, setting.precision):
            compute(inputs, kind)

    crop_s, work = recipe.crop_samples / recipe.codec.sample_rate, operations * setting.batch
    return _measure("Lathe", setting, run, crop_s, device, each_s, rate, work)


def count_operations(recipe: Recipe, adversarial: bool) -> float:
    """Count the multiplications and additions of the matrix products and convolutions of a training step.

    Args:
        recipe: architecture and losses
        adversarial: whether the discriminator takes part, and learns

    Returns:
        Operations for a crop.
    """
    train = replace(recipe.train, compile=False, cuda_graph=False)
    module = CodecModule(replace(recipe, adversarial=_adversarial(recipe, adversarial), train=train)).train()
    compute, inputs = module.make_computation(module.configure_optimizers()), _inputs(module, 1, torch.device("cpu"))
    return count_flops(lambda: compute(inputs, _kind(recipe, adversarial)))


def _adversarial(recipe: Recipe, takes_part: bool) -> AdversarialConfig:
    return replace(recipe.adversarial, weight=0.1 * takes_part, start_step=0, every=1)


def _kind(recipe: Recipe, adversarial: bool) -> StepKind:
    return StepKind(spread_scales(recipe.train.mel_scales), True, adversarial, adversarial)


def _inputs(module: CodecModule, batch: int, device: torch.device) -> StepInputs:
    generator = module.generator_at(0)
    codebooks, restarts = module.draw_codebooks(batch, generator), module.codec.draw_restarts(generator)
    return module.step_inputs(noise(batch, module.recipe.crop_samples).to(device), codebooks, restarts)


def _measure(
    name: str,
    setting: StepSetting,
    run: Callable[[], object],
    crop_s: float,
    device: torch.device,
    each_s: float,
    rate: float,
    operations: float,
) -> StepSpeed:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(ORDINARY_STEPS + 2 if setting.mode == GRAPH else 2):
        run()
    synchronise(device)
    times, launches, started = list[float](), list[float](), time.perf_counter()
    while not times or time.perf_counter() - started < each_s:
        # several steps at once, as in a training: the host may run ahead
        before = time.perf_counter()
        for _ in range(_STEPS_AT_ONCE):
            run()
        launched = time.perf_counter()
        synchronise(device)
        times.append((time.perf_counter() - before) / _STEPS_AT_ONCE)
        launches.append((launched - before) / _STEPS_AT_ONCE)
    seconds = statistics.median(times)
    memory = torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else 0.0
    return StepSpeed(
        name,
        setting,
        1 / seconds,
        setting.batch * crop_s / seconds,
        memory,
        statistics.median(launches) / seconds,
        operations / seconds / rate,
    )


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return the context in which a step computes, as the trainer makes it.

    Args:
        device: the device
        precision: ``32`` or ``bf16``

    Returns:
        The context.
    """
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def matrix_rate(device: torch.device, precision: str) -> float:
    """Measure the rate of a large matrix product.

    Args:
        device: the device
        precision: ``32`` or ``bf16``

    Returns:
        Operations (multiplications and additions) per second.
    """
    size = _MATRIX if device.type == "cuda" else _MATRIX // 16
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    one = torch.randn(size, size, device=device, dtype=kind)
    times = []
    for _ in range(5):
        synchronise(device)
        before = time.perf_counter()
        for _ in range(10):
            one @ one
        synchronise(device)
        times.append((time.perf_counter() - before) / 10)
    return 2 * size**3 / min(times)


def time_peers(
    recipe: Recipe, device: torch.device, batch: int, seconds: float, each_s: float
) -> Iterator[StepSpeed | NotTimed]:
    """Time the steps of other codecs on the same device, with the same seconds of audio, in float32.

    Args:
        recipe: length of the crops
        device: the device
        batch: crops per step
        seconds: time for all of them
        each_s: time for the timed steps of each

    Yields:
        A speed for each step without and with a discriminator, or why there is none.
    """
    crop_s, clock = recipe.crop_samples / recipe.codec.sample_rate, TimeLeft(seconds)
    for package in PEER_STEPS:
        if not installed(package):
            yield NotTimed(package, None, "not installed")
            continue
        if not clock.suffices(2 * each_s):
            yield NotTimed(package, None, NO_TIME)
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                target = noise(batch, round(crop_s * PEER_RATE)).to(device)
                for step in own_steps(package, target):
                    if not clock.suffices(2 * each_s):
                        yield NotTimed(step.name, None, NO_TIME)
                        continue
                    setting = StepSetting(batch, "32", EAGER, step.discriminator_parameters > 0)
                    work, rate = count_flops(step.run), matrix_rate(device, "32")
                    yield _measure(step.name, setting, step.run, crop_s, device, each_s, rate, work)
        except Exception as error:  # any error of that package; the others can be timed
            reason = (str(error).splitlines() or [""])[0]
            yield NotTimed(package, None, f"does not run here ({type(error).__name__}: {reason})")
        finally:
            _free(device)


def synchronise(device: torch.device) -> None:
    """Wait until a device has done its work.

    Args:
        device: the device
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _free(device: torch.device) -> None:
    torch.compiler.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def noise(batch: int, samples: int) -> Tensor:
    """Return noise as audio of a step.

    Args:
        batch: crops
        samples: length of a crop

    Returns:
        ``[batch, 1, samples]``.
    """
    return 0.1 * torch.randn(batch, 1, samples, generator=torch.Generator().manual_seed(0))
