"""Speed of whole training steps of our recipes and of peers, which take turns: seconds of audio per second."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from codec.config import Recipe
from codec.losses import CompositeLoss
from codec.losses.adversarial import discriminator_loss, feature_matching, generator_loss
from codec.losses.discriminators import DiscriminatorOutput
from codec.runtime.extras import installed
from codec.runtime.progress import ProgressBar
from codec.training.module import CodecModule
from eval.benchmarks.coding_speed import BUDGET_S, TimingQuantiles, measure_seconds, noise_waveform
from eval.systems.architectures import count_module_parameters, dac_24k, encodec_24k, import_peer

BATCH, CROP_S = 4, 1.0
PEER_RATE = 24000
"""Sample rate of the peers' training steps in Hz."""


@dataclass(frozen=True)
class TrainingSpeed:
    """Speed of one kind of training step."""

    name: str
    """Name of the recipe or peer."""
    step: str
    """Losses of the step."""
    parameters: int
    discriminator_parameters: int
    audio_s: TimingQuantiles
    """Seconds of audio per second of wall time."""


@dataclass(frozen=True)
class TimedStep:
    """A training step that can be run any number of times; fields as in :class:`TrainingSpeed`."""

    name: str
    kind: str
    parameters: int
    discriminator_parameters: int
    run: Callable[[], object]


@dataclass(frozen=True)
class TimedSteps:
    """The steps that ran once, and a line for each peer whose step does not run here."""

    steps: list[TimedStep] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def build_steps(recipes: dict[str, Recipe], peers: bool) -> TimedSteps:
    """Build training steps and run each of them once.

    Args:
        recipes: name to recipe; each has a step without and one with a discriminator.
        peers: whether to add the steps of the peers that are installed, and ours with their discriminators.

    Returns:
        The steps that run.
    """
    found = TimedSteps()
    for name, recipe in ProgressBar(recipes.items(), desc="training, warming up", unit="recipe"):
        for step in _recipe_steps(name, recipe):
            step.run()
            found.steps.append(step)
    for module, build in PEER_STEPS.items() if peers else ():
        if not installed(module):
            continue  # already listed with the systems whose coding is timed
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                steps = build(recipes)
                for step in steps:
                    step.run()
            found.steps.extend(steps)
        except Exception as error:  # any error of that package; the others can be timed
            reason = (str(error).splitlines() or [""])[0]
            found.absent.append(f"{module}: its training step does not run here ({type(error).__name__}: {reason})")
    return found


def time_training(steps: Sequence[TimedStep], rounds: int) -> list[TrainingSpeed]:
    """Time training steps in turn.

    Args:
        steps: steps to time.
        rounds: number of rounds. A step that has used :data:`~eval.benchmarks.coding_speed.BUDGET_S` seconds stops.

    Returns:
        One speed per step.
    """
    times: list[list[float]] = [[] for _ in steps]
    for _ in ProgressBar(range(rounds), desc="training", unit="round"):
        for step, taken in zip(steps, times):
            if not taken or sum(taken) + taken[-1] <= BUDGET_S:
                taken.append(measure_seconds(step.run))
    return [
        TrainingSpeed(
            step.name,
            step.kind,
            step.parameters,
            step.discriminator_parameters,
            TimingQuantiles.of([BATCH * CROP_S / seconds for seconds in taken]),
        )
        for step, taken in zip(steps, times)
    ]


def _recipe_steps(name: str, recipe: Recipe) -> list[TimedStep]:
    alone = replace(recipe, adversarial=replace(recipe.adversarial, weight=0.0))
    return [
        _own_step(name, "losses of the recipe", alone, None),
        _own_step(name, "and our discriminator", _with_discriminator(recipe), None),
    ]


def _with_discriminator(recipe: Recipe) -> Recipe:
    """Return the recipe with a discriminator that learns in every step."""
    weight = recipe.adversarial.weight or 0.1
    return replace(recipe, adversarial=replace(recipe.adversarial, weight=weight, start_step=0, every=1))


def _own_step(name: str, kind: str, recipe: Recipe, discriminator: nn.Module | None) -> TimedStep:
    """Return the module's own step without a trainer; it includes optimisers, averaging and dead-code restarts."""
    recipe = replace(recipe, train=replace(recipe.train, compile=False))
    module = CodecModule(recipe).train()
    module.average.eval()
    if discriminator is not None:
        module.discriminator = discriminator
    module.state.step = 1  # step 0 also computes values that are only logged
    compute, target = module.make_computation(module.configure_optimizers()), _batch(recipe.codec.sample_rate)

    def run() -> None:
        generator = module.generator_at(1)
        codebooks, kind = module.draw_codebooks(len(target), generator), module.step_kind(generator)
        compute(module.step_inputs(target, codebooks, module.codec.draw_restarts(generator)), kind)

    used = module.discriminator
    return TimedStep(
        name, kind, count_module_parameters(module.codec), count_module_parameters(used) if used else 0, run
    )


def _batch(sample_rate: int) -> Tensor:
    return noise_waveform(BATCH * CROP_S, sample_rate).reshape(BATCH, 1, -1)


class EncodecDiscriminator(nn.Module):
    """EnCodec's multi-scale STFT discriminator from its package, with the interface of our discriminators."""

    def __init__(self) -> None:
        super().__init__()
        self.network = import_peer("encodec.msstftd").MultiScaleSTFTDiscriminator(filters=32)

    def forward(self, wave: Tensor) -> DiscriminatorOutput:
        """Score a waveform.

        Args:
            wave: ``[batch, 1, samples]``.

        Returns:
            Logits per scale, and the features of all layers.
        """
        logits, features = self.network(wave)
        return DiscriminatorOutput(logits, [layer for scale in features for layer in scale])


def _encodec_steps(recipes: dict[str, Recipe]) -> list[TimedStep]:
    """Return EnCodec's own steps, and ours with its discriminator."""
    return [
        *(
            _own_step(name, "and EnCodec's discriminator", _with_discriminator(recipe), EncodecDiscriminator())
            for name, recipe in recipes.items()
        ),
        *own_steps("encodec", _batch(PEER_RATE)),
    ]


def _dac_steps(recipes: dict[str, Recipe]) -> list[TimedStep]:
    return own_steps("dac", _batch(PEER_RATE))


def own_steps(package: str, target: Tensor) -> list[TimedStep]:
    """Return the training steps of a peer, without and, for EnCodec, with its discriminator.

    Args:
        package: module of the peer, one of :data:`PEER_STEPS`
        target: audio of a step at :data:`PEER_RATE` ``[batch, 1, samples]``; the step runs on its device.

    Returns:
        The steps.
    """
    model: Any = encodec_24k() if package == "encodec" else dac_24k()

    def encodec(waveform: Tensor) -> tuple[Tensor, Tensor]:
        quantized = model.quantizer(model.encoder(waveform), model.frame_rate, bandwidth=6.0)
        return model.decoder(quantized.quantized)[..., : waveform.shape[-1]], quantized.penalty

    def dac(waveform: Tensor) -> tuple[Tensor, Tensor]:
        out = model(waveform, PEER_RATE)
        return out["audio"], 0.25 * out["vq/commitment_loss"] + out["vq/codebook_loss"]

    if package == "dac":
        return [_peer_step("DAC 24 kHz", model, dac, None, target)]
    return [
        _peer_step("EnCodec 24 kHz", model, encodec, discriminator, target)
        for discriminator in (None, EncodecDiscriminator())
    ]


def _peer_step(
    name: str,
    model: nn.Module,
    code: Callable[[Tensor], tuple[Tensor, Tensor]],
    discriminator: nn.Module | None,
    target: Tensor,
) -> TimedStep:
    """Return a step with our L1 and seven-scale mel losses; a discriminator adds its losses and a step of its own."""
    device = target.device
    model.to(device).train()
    losses = CompositeLoss({"l1": 1.0, "mel": 1.0}, PEER_RATE, 320).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    second = torch.optim.AdamW(discriminator.to(device).parameters(), lr=1e-4, fused=True) if discriminator else None

    def run() -> None:
        output, penalty = code(target)
        loss = losses(output, target).total + penalty
        if discriminator and second:
            wrong = discriminator_loss("hinge", discriminator(target).logits, discriminator(output.detach()).logits)
            second.zero_grad()
            wrong.backward()
            second.step()
            discriminator.requires_grad_(False)
            with torch.no_grad():
                real = discriminator(target)
            fake = discriminator(output)
            discriminator.requires_grad_(True)
            loss = loss + generator_loss("hinge", fake.logits) + feature_matching(real.features, fake.features)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    kind = "and its own discriminator" if discriminator else "L1 and 7-scale mel"
    return TimedStep(
        name, kind, count_module_parameters(model), count_module_parameters(discriminator) if discriminator else 0, run
    )


PEER_STEPS: dict[str, Callable[[dict[str, Recipe]], list[TimedStep]]] = {
    "encodec": _encodec_steps,
    "dac": _dac_steps,
}
"""Module of a peer: function that builds its training steps."""
