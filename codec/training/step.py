"""The computation of a training step: from tensors on a device to changed weights, without a question to the device.

Everything that differs from step to step is either a tensor (:class:`StepInputs`), of the same shape in every step, or
belongs to the kind of the step (:class:`StepKind`), of which a run has few. A step whose gradient is not finite changes
nothing: that, too, is decided on the device. So the host can prepare the steps to come while one is computed, and a
step can be recorded once and repeated.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from codec.config import Recipe
from codec.losses import CompositeLoss
from codec.model.codec_base import CodecBase, CodecOutput
from codec.model.processes import ONE_PROCESS, Processes
from codec.training.adversarial_step import codec_objective, discriminator_objective
from codec.training.optimizers import step_if

COMMITMENT_WEIGHT = 0.02
"""Weight of the quantizer's commitment loss: enough to keep the latent near the codebooks. With the published 0.25 the
encoder discards more of the signal than quantization gains (measured: 4 dB less without quantization, no gain with
it)."""

_METRIC_TOTAL = "metric_total"


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

    def parts(self, count: int) -> "list[StepInputs]":
        """Divide the batch.

        Args:
            count: number of equal parts

        Returns:
            The inputs with a part of the items each.
        """
        pairs = zip(self.target.chunk(count), self.codebooks.chunk(count))
        return [replace(self, target=target, codebooks=codebooks) for target, codebooks in pairs]


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


@dataclass(frozen=True)
class _PartLosses:
    """Losses of a part of the batch."""

    total: Tensor
    """Objective of the codec, a scalar."""
    terms: dict[str, Tensor]
    statistics: dict[str, Tensor]

    def without_gradients(self) -> "_PartLosses":
        """Let go of the graph."""
        return replace(self, total=self.total.detach(), terms={k: v.detach() for k, v in self.terms.items()})


def _means(of_parts: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([part[name] for part in of_parts]).mean(0) for name in of_parts[0]}


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
        processes: those that share each batch; they have equal parts of it and the same weights
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
        processes: Processes = ONE_PROCESS,
    ):
        self.processes = processes
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
        parts = inputs.parts(recipe.train.accumulate)
        self.codec.begin_batch()
        first = self._forward(parts[0], kind)
        statistics: dict[str, Tensor] = {}
        if kind.train_discriminator:
            statistics |= self._train_discriminator(parts, kind, first)
        optimizer.zero_grad()
        of_parts: list[_PartLosses] = []
        for part in parts:
            losses = self._losses(first if part is parts[0] else self._forward(part, kind), part, kind)
            self.backward(losses.total / len(parts))
            of_parts.append(losses.without_gradients())
        self.processes.average_gradients(self.codec.parameters())
        norm = nn.utils.clip_grad_norm_(self.codec.parameters(), recipe.optim.clip_norm)
        finite = norm.isfinite()
        step_if(optimizer, finite)
        statistics |= _means([losses.statistics for losses in of_parts])
        statistics |= {"grad_norm": norm, "clipped": (norm > recipe.optim.clip_norm).float()}
        if not recipe.train.freeze_encoder:
            # the column of metrics.csv for dead-code restarts
            statistics["restarted"] = self.codec.update_codebooks(inputs.restarts, finite).float()
        self._update_average(inputs.average_weight * finite)
        known = {name: torch.where(finite, value.detach(), torch.nan) for name, value in statistics.items()}
        terms = _means([losses.terms for losses in of_parts])
        return StepResult(terms.pop(_METRIC_TOTAL), terms, finite, known)

    def _forward(self, part: StepInputs, kind: StepKind) -> CodecOutput:
        output: CodecOutput = self.codec(part.target, part.codebooks, kind.quantize)
        return output

    def _losses(self, output: CodecOutput, part: StepInputs, kind: StepKind) -> "_PartLosses":
        """Compute the losses of the codec on a part of the batch."""
        recipe = self.recipe
        report = self.losses(output.waveform, part.target, log_all=kind.log_all, mel_scales=kind.mel_scales)
        terms, statistics = dict(report.terms), dict[str, Tensor]()
        terms["commitment"] = output.quantized.commitment
        total = report.total + kind.quantize * COMMITMENT_WEIGHT * terms["commitment"]
        if recipe.optim.l1:
            weights = [p.abs().mean() for p in self.codec.parameters() if p.requires_grad and p.ndim >= 2]
            total = total + recipe.optim.l1 * torch.stack(weights).sum()
        if kind.adversarial:
            assert self.discriminator is not None
            adversarial = recipe.adversarial
            objective = codec_objective(
                self.discriminator, adversarial.loss, output.waveform, part.target, self.processes
            )
            terms, statistics = terms | objective.terms, objective.statistics
            total = total + adversarial.weight * terms["adversarial"] + adversarial.feature_weight * terms["features"]
        return _PartLosses(total, terms | {"total": total, _METRIC_TOTAL: report.total}, statistics)

    def _train_discriminator(
        self, parts: Sequence[StepInputs], kind: StepKind, first: CodecOutput
    ) -> dict[str, Tensor]:
        """Train the discriminator before the codec meets it.

        ``first`` is the output for the first part; that of the others is computed again later, with gradients.
        """
        assert self.discriminator is not None
        adversarial, optimizer = self.recipe.adversarial, self.optimizers[1]
        optimizer.zero_grad()
        losses: list[Tensor] = []
        for part in parts:
            with torch.no_grad():
                output = first if part is parts[0] else self._forward(part, kind)
            loss = discriminator_objective(self.discriminator, adversarial.loss, output.waveform, part.target)
            self.backward(loss / len(parts))
            losses.append(loss.detach())
        self.processes.average_gradients(self.discriminator.parameters())
        norm = nn.utils.get_total_norm([p.grad for p in self.discriminator.parameters() if p.grad is not None])
        step_if(optimizer, norm.isfinite())
        return {"discriminator": torch.stack(losses).mean(), "discriminator_grad_norm": norm}

    @torch.no_grad()
    def _update_average(self, weight: Tensor) -> None:
        current: list[Tensor] = list(self.codec.parameters())
        averaged: list[Tensor] = list(self.average.parameters())
        torch._foreach_lerp_(averaged, current, [weight] * len(current))  # type: ignore[list-item]
        if buffers := list(self.average.buffers()):  # peers may have none
            torch._foreach_copy_(buffers, list(self.codec.buffers()))
