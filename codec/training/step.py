"""The computation of a training step: from tensors on a device to changed weights, without a question to the device.

Everything that differs from step to step is either a tensor (:class:`StepInputs`), of the same shape in every step, or
belongs to the kind of the step (:class:`StepKind`), of which a run has few. A step whose gradient is not finite changes
nothing: that, too, is decided on the device. So the host can prepare the steps to come while one is computed, and a
step can be recorded once and repeated.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from codec.config import Recipe
from codec.losses import CompositeLoss
from codec.model.codec_base import CodecBase
from codec.training.adversarial_step import codec_objective, discriminator_objective
from codec.training.optimizers import step_if

COMMITMENT_WEIGHT = 0.02
"""Weight of the quantizer's commitment loss: enough to keep the latent near the codebooks. With the published 0.25 the
encoder discards more of the signal than quantization gains (measured: 4 dB less without quantization, no gain with
it)."""


@dataclass(frozen=True)
class StepKind:
    """What a step computes, as far as the host decides it."""

    mel_scales: tuple[int, ...]
    """Scales of the mel loss."""
    quantize: bool = True
    """Whether the decoder gets quantized latents."""
    adversarial: bool = False
    """Whether the discriminator takes part."""
    train_discriminator: bool = False
    """Whether the discriminator learns in this step."""
    log_all: bool = False
    """Whether loss terms of weight 0 are computed for the log."""


@dataclass(frozen=True)
class StepInputs:
    """The tensors of a step, on its device."""

    target: Tensor
    """Waveforms ``[batch, 1, samples]``."""
    codebooks: Tensor
    """Mean number of codebooks of each item ``[batch]``."""
    restarts: Tensor
    """Random numbers of dead-code restarts, see :meth:`codec.model.codec_base.CodecBase.draw_restarts`."""
    average_weight: Tensor
    """Weight of the present weights in their moving average (scalar)."""


@dataclass(frozen=True)
class StepResult:
    """Values of a step for the log, on its device; all are scalars."""

    metric_total: Tensor
    """Weighted sum of the recipe's losses alone."""
    terms: dict[str, Tensor]
    """Loss terms, and as ``total`` the objective of the codec."""
    finite: Tensor
    """False if the step was skipped, because its gradient is not finite."""
    statistics: dict[str, Tensor] = field(default_factory=dict)
    """Gradient norms, restarts, discriminator; NaN where a step was skipped."""


class TrainingStep:
    """Training steps of a codec, of the discriminator and of the average of the codec's weights.

    Args:
        recipe: losses and settings
        codec: the codec
        average: codec of the same architecture, the exponential moving average (EMA) of the weights of ``codec``
        losses: the losses of the recipe
        discriminator: the discriminator, if there is one
        optimizers: of the codec, then of the discriminator
        backward: computes gradients from a loss
    """

    def __init__(
        self,
        recipe: Recipe,
        codec: CodecBase,
        average: CodecBase,
        losses: CompositeLoss,
        discriminator: nn.Module | None,
        optimizers: list[Optimizer],
        backward: Callable[[Tensor], object] = Tensor.backward,
    ):
        self.recipe, self.codec, self.average, self.losses = recipe, codec, average, losses
        self.discriminator, self.optimizers, self.backward = discriminator, optimizers, backward

    def __call__(self, inputs: StepInputs, kind: StepKind) -> StepResult:
        """Run a step.

        Args:
            inputs: its tensors
            kind: what it computes

        Returns:
            Values for the log.
        """
        recipe, optimizer = self.recipe, self.optimizers[0]
        output = self.codec(inputs.target, inputs.codebooks, kind.quantize)
        report = self.losses(output.waveform, inputs.target, log_all=kind.log_all, mel_scales=kind.mel_scales)
        terms, statistics = dict(report.terms), dict[str, Tensor]()
        terms["commitment"] = output.quantized.commitment
        total = report.total + kind.quantize * COMMITMENT_WEIGHT * terms["commitment"]
        if recipe.optim.l1:
            weights = [p.abs().mean() for p in self.codec.parameters() if p.requires_grad and p.ndim >= 2]
            total = total + recipe.optim.l1 * torch.stack(weights).sum()
        if kind.adversarial:
            terms |= self._adversarial_losses(output.waveform, inputs, kind, statistics)
            weight, feature_weight = recipe.adversarial.weight, recipe.adversarial.feature_weight
            total = total + weight * terms["adversarial"] + feature_weight * terms["features"]
        optimizer.zero_grad()
        self.backward(total)
        norm = nn.utils.clip_grad_norm_(self.codec.parameters(), recipe.optim.clip_norm)
        finite = norm.isfinite()
        step_if(optimizer, finite)
        statistics |= {"grad_norm": norm, "clipped": (norm > recipe.optim.clip_norm).float()}
        if not recipe.train.freeze_encoder:
            # the column of metrics.csv for dead-code restarts
            statistics["restarted"] = self.codec.update_codebooks(inputs.restarts, finite).float()
        self._update_average(inputs.average_weight * finite)
        known = {name: torch.where(finite, value.detach(), torch.nan) for name, value in statistics.items()}
        return StepResult(report.total.detach(), terms | {"total": total.detach()}, finite, known)

    def _adversarial_losses(
        self, output: Tensor, inputs: StepInputs, kind: StepKind, statistics: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Train the discriminator if this step is one of its own, and return the codec's adversarial losses."""
        assert self.discriminator is not None
        adversarial, optimizer = self.recipe.adversarial, self.optimizers[1]
        if kind.train_discriminator:
            loss = discriminator_objective(self.discriminator, adversarial.loss, output, inputs.target)
            optimizer.zero_grad()
            self.backward(loss)
            norm = nn.utils.get_total_norm([p.grad for p in self.discriminator.parameters() if p.grad is not None])
            step_if(optimizer, norm.isfinite())
            statistics |= {"discriminator": loss.detach(), "discriminator_grad_norm": norm}
        objective = codec_objective(self.discriminator, adversarial.loss, output, inputs.target)
        statistics |= objective.statistics
        return objective.terms

    @torch.no_grad()
    def _update_average(self, weight: Tensor) -> None:
        current: list[Tensor] = list(self.codec.parameters())
        averaged: list[Tensor] = list(self.average.parameters())
        torch._foreach_lerp_(averaged, current, [weight for _ in current])
        torch._foreach_copy_(list(self.average.buffers()), list(self.codec.buffers()))
