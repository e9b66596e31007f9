"""Training steps of ours and of the peers, taking turns: seconds of audio per second of wall time."""

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from codec.config import Recipe
from codec.losses import CompositeLoss
from codec.losses.adversarial import discriminator_loss, feature_matching, generator_loss
from codec.losses.discriminators import DiscriminatorOutput
from codec.training.module import CodecModule
from eval.benchmarks.coding_speed import BUDGET_S, Spread, clock, noise
from eval.systems.architectures import count_parameters, dac_24k, encodec_24k, load

BATCH, CROP_S = 4, 1.0


@dataclass(frozen=True)
class TrainingSpeed:
    """``audio_s``: seconds of audio per second of wall time; the numbers of parameters say how large both sides are."""

    name: str
    step: str
    parameters: int
    discriminator_parameters: int
    audio_s: Spread


@dataclass(frozen=True)
class Step:
    name: str
    kind: str
    parameters: int
    discriminator_parameters: int
    run: Callable[[], object]


@dataclass(frozen=True)
class Steps:
    """What could be built and ran once; a line for each of the others."""

    steps: list[Step] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)


def build_steps(recipes: dict[str, Recipe], peers: bool) -> Steps:
    found = Steps()
    for name, recipe in tqdm(recipes.items(), desc="training, warming up", unit="recipe"):
        for step in _own(name, recipe):
            step.run()
            found.steps.append(step)
    for module, build in PEERS.items() if peers else ():
        if importlib.util.find_spec(module) is None:
            continue  # said already, where its coding was to be timed
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                steps = build(recipes)
                for step in steps:
                    step.run()
            found.steps.extend(steps)
        except Exception as error:  # whatever it is, it is that package's
            reason = (str(error).splitlines() or [""])[0]
            found.absent.append(f"{module}: its training step does not run here ({type(error).__name__}: {reason})")
    return found


def time_training(steps: Sequence[Step], rounds: int) -> list[TrainingSpeed]:
    """Steps that take long get as few rounds as fit into ``BUDGET_S``."""
    times: list[list[float]] = [[] for _ in steps]
    for _ in tqdm(range(rounds), desc="training", unit="round"):
        for step, taken in zip(steps, times):
            if not taken or sum(taken) + taken[-1] <= BUDGET_S:
                taken.append(clock(step.run))
    return [
        TrainingSpeed(
            step.name,
            step.kind,
            step.parameters,
            step.discriminator_parameters,
            Spread.of([BATCH * CROP_S / seconds for seconds in taken]),
        )
        for step, taken in zip(steps, times)
    ]


def _own(name: str, recipe: Recipe) -> list[Step]:
    alone = replace(recipe, adversarial=replace(recipe.adversarial, weight=0.0))
    return [
        _own_step(name, "losses of the recipe", alone, None),
        _own_step(name, "and our discriminator", _judged(recipe), None),
    ]


def _judged(recipe: Recipe) -> Recipe:
    """With a discriminator, which learns in every step."""
    weight = recipe.adversarial.weight or 0.1
    return replace(recipe, adversarial=replace(recipe.adversarial, weight=weight, start_step=0, every=1))


def _own_step(name: str, kind: str, recipe: Recipe, discriminator: nn.Module | None) -> Step:
    """The module's own step, outside a trainer: optimiser, averaging and restarts included."""
    recipe = replace(recipe, train=replace(recipe.train, compile=False))
    module = CodecModule(recipe).train()
    module.average.eval()
    if discriminator is not None:
        module.discriminator = discriminator
    module.state.step = 1  # step 0 also computes what is only logged
    optimizers = module.configure_optimizers()
    module.optimizers = lambda use_pl_optimizer=True: optimizers  # type: ignore[method-assign, assignment, misc]
    module.manual_backward = lambda loss, *_, **__: loss.backward()  # type: ignore[method-assign]
    target = _batch(recipe.codec.sample_rate)

    def run() -> None:
        module.state.step = 1
        module.training_step(target, 0)

    judge = module.discriminator
    return Step(name, kind, count_parameters(module.codec), count_parameters(judge) if judge else 0, run)


def _batch(sample_rate: int) -> Tensor:
    return noise(BATCH * CROP_S, sample_rate).reshape(BATCH, 1, -1)


class EncodecDiscriminator(nn.Module):
    """EnCodec's multi-scale STFT discriminator, as its package ships it, with our interface."""

    def __init__(self) -> None:
        super().__init__()
        self.network = load("encodec.msstftd").MultiScaleSTFTDiscriminator(filters=32)

    def forward(self, wave: Tensor) -> DiscriminatorOutput:
        logits, features = self.network(wave)
        return DiscriminatorOutput(logits, [layer for scale in features for layer in scale])


def _encodec(recipes: dict[str, Recipe]) -> list[Step]:
    """Its own step, and ours with its discriminator."""
    model: Any = encodec_24k()

    def code(wave: Tensor) -> tuple[Tensor, Tensor]:
        quantized = model.quantizer(model.encoder(wave), model.frame_rate, bandwidth=6.0)
        return model.decoder(quantized.quantized)[..., : wave.shape[-1]], quantized.penalty

    return [
        *(
            _own_step(name, "and EnCodec's discriminator", _judged(recipe), EncodecDiscriminator())
            for name, recipe in recipes.items()
        ),
        _peer_step("EnCodec 24 kHz", model, code, None),
        _peer_step("EnCodec 24 kHz", model, code, EncodecDiscriminator()),
    ]


def _dac(recipes: dict[str, Recipe]) -> list[Step]:
    model: Any = dac_24k()

    def code(wave: Tensor) -> tuple[Tensor, Tensor]:
        out = model(wave, 24000)
        return out["audio"], 0.25 * out["vq/commitment_loss"] + out["vq/codebook_loss"]

    return [_peer_step("DAC 24 kHz", model, code, None)]


def _peer_step(
    name: str, model: nn.Module, code: Callable[[Tensor], tuple[Tensor, Tensor]], discriminator: nn.Module | None
) -> Step:
    """L1 and the seven-scale mel, computed by our losses, and with a discriminator its losses, one step of each."""
    model.train()
    losses = CompositeLoss({"l1": 1.0, "mel": 1.0}, 24000, 320)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    second = torch.optim.AdamW(discriminator.parameters(), lr=1e-4, fused=True) if discriminator else None
    target = _batch(24000)

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
    return Step(name, kind, count_parameters(model), count_parameters(discriminator) if discriminator else 0, run)


PEERS = {"encodec": _encodec, "dac": _dac}
