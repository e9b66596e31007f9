"""The training step: a Lightning module that knows how a codec learns, but nothing about files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from codec.config import CodecConfig, Recipe
from codec.losses import CompositeLoss
from codec.losses.discriminators import BandSTFTDiscriminator
from codec.losses.spectrograms import ALL_MEL_SCALES
from codec.model.codec import Codec
from codec.model.codec_base import CodecBase
from codec.model.convnext import is_skip_path
from codec.training.adversarial_step import codec_objective, discriminator_objective
from codec.training.data import CountedBatch
from codec.training.learning_rate import learning_rate_ratio
from codec.training.metrics_log import VALIDATION, MetricsLog
from codec.training.optimizers import build_optimizers, set_learning_rate
from codec.training.state import TrainingState
from codec.training.step_statistics import StepStatistics
from codec.training.validation_sums import EVALUATION_SPLITS, ValidationSums

COMMITMENT_WEIGHT = 0.02
"""Weight of the quantizer's commitment loss: enough to keep the latent near the codebooks. With the published 0.25 the
encoder discards more of the signal than quantization gains (measured: 4 dB less without quantization, no gain with
it)."""
LOG_EVERY = 100
"""Steps between records of loss terms and step statistics."""
CodecBuilder = Callable[[CodecConfig], CodecBase]
CHECKPOINT_FORMAT = 2
"""Version of the checkpoint format. Checkpoints of version 1 do not contain it."""
DISCRIMINATOR_PREFIX = "discriminator."
"""Prefix of the names of the discriminator's weights in a checkpoint."""


@dataclass(frozen=True)
class _StepLosses:
    total: Tensor
    """Objective of the codec."""
    metric_total: Tensor
    """Weighted sum of the recipe's losses alone."""
    terms: dict[str, Tensor]


class CodecModule(L.LightningModule):
    """Trains ``codec``, and maintains ``average``, an exponential moving average of its weights.

    The average is validated and saved. All randomness of a step is drawn from the recipe's seed and the number
    of the step, so that a resumed run computes what an uninterrupted one would have computed.

    Args:
        recipe: architecture, losses and settings
        build: function that makes a codec from its configuration
        state: progress that data and callbacks share; by default a new one
        metrics: table that values are written to; None: they are not recorded
    """

    def __init__(
        self,
        recipe: Recipe,
        build: CodecBuilder = Codec,
        state: TrainingState | None = None,
        metrics: MetricsLog | None = None,
    ):
        super().__init__()
        self.automatic_optimization = False
        self.recipe = recipe
        self.state = state or TrainingState(validate_every=recipe.train.validate_every)
        self.metrics = metrics
        self.codec = build(recipe.codec)
        self.average = build(recipe.codec).eval().requires_grad_(False)
        self.losses = CompositeLoss(recipe.losses, recipe.codec.sample_rate, recipe.codec.hop)
        self.discriminator: nn.Module | None = None
        if recipe.adversarial.weight > 0:
            self.discriminator = BandSTFTDiscriminator(recipe.adversarial.width)
        if not recipe.optim.skip_lr_ratio:
            for name, parameter in self.codec.named_parameters():
                if is_skip_path(name):
                    parameter.requires_grad_(False)
        if recipe.train.freeze_encoder:
            self.codec.encoder.requires_grad_(False)
            self.codec.quantizer.requires_grad_(False)
        if recipe.train.compile:
            self.codec.compile()
        self.statistics = StepStatistics()
        self.sums = ValidationSums(recipe.codec.quantizer.size)
        self.data_fingerprints = ""
        """Fingerprints of the training and validation clips."""

    def start_from(self, codec: CodecBase) -> None:
        """Copy the weights and tables of another codec.

        Args:
            codec: a codec of the same architecture
        """
        self.codec.load_state_dict(codec.state_dict())
        self.average.load_state_dict(codec.state_dict())

    def configure_optimizers(self) -> list[Optimizer]:
        """Make the optimisers.

        Returns:
            That of the codec, then that of the discriminator, if there is one.
        """
        return build_optimizers(self.recipe, self.codec, self.discriminator)

    def generator_at(self, step: int) -> torch.Generator:
        """Make the random generator of a step.

        Args:
            step: number of the step; -1 for the initial weights

        Returns:
            A generator seeded with the recipe's seed and the step.
        """
        return torch.Generator().manual_seed(self.recipe.train.seed * 1_000_003 + step)

    def draw_codebooks(self, batch: int, generator: torch.Generator) -> Tensor:
        """Draw the number of codebooks for each item, so that one model serves every bit rate.

        Args:
            batch: number of items
            generator: source of the random numbers

        Returns:
            ``[batch]``: all codebooks, or a random number of them, which need not be whole (an average over frames).
        """
        quantizer = self.recipe.codec.quantizer
        share = torch.rand(batch, generator=generator)
        if self.recipe.train.rates == "log_uniform":
            some = quantizer.codebooks**share
        else:
            some = 1 + (quantizer.codebooks - 1) * share
        full = torch.rand(batch, generator=generator) < quantizer.full_rate_share
        return torch.where(full, quantizer.codebooks, some).to(self.device)

    @property
    def quantizes(self) -> bool:
        """False in the phase without quantizer, see :mod:`codec.training.quantizer_start`."""
        return not self.recipe.train.unquantized_share or self.state.quantized_from is not None

    # --- training --------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Apply the recipe's settings instead of the checkpoint's, and repeat an interrupted validation."""
        for optimizer, fresh in zip(self.trainer.optimizers, self.configure_optimizers()):
            for group, wanted in zip(optimizer.param_groups, fresh.param_groups, strict=True):
                group.update({name: wanted[name] for name in wanted.keys() - {"params", "lr"}})  # each step sets lr
        if self.state.validation_is_next(self.trainer.should_stop):
            self.trainer.validating = True
            self.trainer.fit_loop.epoch_loop.val_loop.run()
            self.trainer.training = True

    def training_step(self, batch: CountedBatch, batch_index: int) -> None:
        """Run one training step of the codec, and of the discriminator if it takes part.

        Args:
            batch: the waveforms, with counts that are not used here
            batch_index: not used; the step is counted in :attr:`state`
        """
        state, generator = self.state, self.generator_at(self.state.step)
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))  # dropout
        optimizers = self.optimizers()
        optimizer, *others = optimizers if isinstance(optimizers, list) else [optimizers]
        ratio = learning_rate_ratio(self.recipe, state.step, state.time_share)
        set_learning_rate(optimizer, self.recipe.optim.lr * ratio)
        logged = state.step % LOG_EVERY == 0

        losses = self._compute_losses(batch.waveform, generator, ratio, logged, others)
        optimizer.zero_grad()
        self.manual_backward(losses.total)
        norm = nn.utils.clip_grad_norm_(self.codec.parameters(), self.recipe.optim.clip_norm)
        finite = bool(torch.isfinite(norm))
        state.skipped_in_a_row = 0 if finite else state.skipped_in_a_row + 1
        if finite:
            optimizer.step()
            self._after_update(norm.detach(), losses.metric_total, generator)
        state.step += 1
        if finite:
            self.update_average()
        else:
            self.write("train", {"skipped": 1.0})
        if logged and finite:
            self.write("train", losses.terms | {"total": losses.total, "lr": self.recipe.optim.lr * ratio})
        if state.step % LOG_EVERY == 0:
            self.write("train", self.statistics.summarise())

    def _compute_losses(
        self, target: Tensor, generator: torch.Generator, ratio: float, logged: bool, others: list[Any]
    ) -> _StepLosses:
        """Run the codec and compute its losses; ``others`` holds the discriminator's optimiser, if there is one."""
        recipe = self.recipe
        quantize = self.quantizes
        output = self.codec(target, self.draw_codebooks(len(target), generator), quantize)
        scales = torch.randperm(len(ALL_MEL_SCALES), generator=generator)[: recipe.train.mel_scales].tolist()
        report = self.losses(output.waveform, target, log_all=logged, mel_scales=scales)
        terms = dict(report.terms)
        terms["commitment"] = output.quantized.commitment
        total = report.total + quantize * COMMITMENT_WEIGHT * terms["commitment"]
        if recipe.optim.l1:
            weights = [p.abs().mean() for p in self.codec.parameters() if p.requires_grad and p.ndim >= 2]
            total = total + recipe.optim.l1 * torch.stack(weights).sum()
        adversarial = recipe.adversarial
        if self.discriminator is not None and self.state.step >= adversarial.start_step:
            for group in others[0].param_groups:
                group["lr"] = adversarial.lr * ratio
            terms |= self._adversarial_step(self.discriminator, others[0], output.waveform, target)
            total = total + adversarial.weight * terms["adversarial"] + adversarial.feature_weight * terms["features"]
        return _StepLosses(total, report.total, terms)

    def _after_update(self, norm: Tensor, metric_total: Tensor, generator: torch.Generator) -> None:
        """Update the codebooks after an optimiser step, and record statistics of the step."""
        self.statistics.add(grad_norm=norm, clipped=(norm > self.recipe.optim.clip_norm).float())
        if not self.recipe.train.freeze_encoder:
            # the column of metrics.csv for dead-code restarts
            self.statistics.add(restarted=float(self.codec.update_codebooks(generator)))
        if self.state.first_loss is None:
            self.state.first_loss = float(metric_total.detach())

    def _adversarial_step(
        self, discriminator: nn.Module, optimizer: Any, output: Tensor, target: Tensor
    ) -> dict[str, Tensor]:
        """Train the discriminator if this step is one of its own, and return the codec's adversarial losses."""
        adversarial = self.recipe.adversarial
        if self.state.step % adversarial.every == 0:
            loss = discriminator_objective(discriminator, adversarial.loss, output, target)
            optimizer.zero_grad()
            self.manual_backward(loss)
            norm = nn.utils.get_total_norm([p.grad for p in discriminator.parameters() if p.grad is not None])
            if torch.isfinite(norm):
                optimizer.step()
                self.statistics.add(discriminator=loss.detach(), discriminator_grad_norm=norm)
        objective = codec_objective(discriminator, adversarial.loss, output, target)
        self.statistics.add(**objective.statistics)
        return objective.terms

    @torch.no_grad()
    def update_average(self) -> None:
        """Update the exponential moving average (EMA) of the weights.

        The decay is lower in the first steps, so that the average soon forgets the initial weights.
        """
        decay = min(self.recipe.optim.ema_decay, (1 + self.state.step) / (10 + self.state.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.codec.parameters()), 1 - decay)
        for averaged, current in zip(self.average.buffers(), self.codec.buffers()):
            averaged.copy_(current)

    # --- validation ------------------------------------------------------------------------------

    def validation_step(self, target: Tensor, batch_index: int, dataloader_idx: int = 0) -> None:
        """Evaluate the averaged weights at the full bit rate on one batch of fixed crops.

        Args:
            target: waveforms ``[batch, 1, samples]``
            batch_index: not used
            dataloader_idx: position of the split in :data:`codec.training.validation_sums.EVALUATION_SPLITS`
        """
        output = self.average(target)
        report = self.losses(output.waveform, target, log_all=True)
        split = EVALUATION_SPLITS[dataloader_idx]
        if split == VALIDATION:
            self.sums.add_codes(output.quantized.codes)
        self.sums.add_losses(split, report.terms | {"total": report.total})

    def on_validation_epoch_start(self) -> None:
        """Begin new sums, and record the statistics of the steps before."""
        self.sums = ValidationSums(self.recipe.codec.quantizer.size)
        if self.statistics:
            self.write("train", self.statistics.summarise())

    def on_validation_epoch_end(self) -> None:
        """Record the means of all losses, and the usage of the codebooks."""
        self.state.validated = self.state.step
        for split in EVALUATION_SPLITS:
            terms = self.sums.mean_losses(split)
            if split == VALIDATION:
                self.state.validation_loss = float(terms["total"])
                usage = self.sums.codebook_usage()
                self.state.codebook_usage = usage.tolist()
                for index, (used, perplexity) in enumerate(zip(usage, self.sums.codebook_perplexity())):
                    terms[f"usage_q{index}"], terms[f"perplexity_q{index}"] = used, perplexity
            self.write(split, terms)

    def write(self, split: str, terms: Mapping[str, Tensor | float]) -> None:
        """Record values of the present step in the metrics, if there are any.

        Args:
            split: split that the values were measured on
            terms: scalars by name
        """
        if self.metrics is not None:
            values = {term: value.detach() if isinstance(value, Tensor) else value for term, value in terms.items()}
            self.metrics.write(self.state.step, split, {term: float(value) for term, value in values.items()})

    # --- checkpoints -----------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the state; Lightning's own counters are left out, since the step alone determines how a run continues."""
        checkpoint.pop("loops", None)
        checkpoint["decodes"], checkpoint["window"] = self.average.compatible_fingerprints, self.statistics.state_dict()
        checkpoint |= {"format": CHECKPOINT_FORMAT, "data_fingerprints": self.data_fingerprints}
        checkpoint |= self.state.to_checkpoint()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the state; a discriminator of another shape is replaced by a new one."""
        self.state.restore(checkpoint)
        self.average.compatible_fingerprints = tuple(checkpoint["decodes"])
        self.statistics.load_state_dict(checkpoint["window"])
        if not self.has_same_discriminator(checkpoint["state_dict"]):
            weights = checkpoint["state_dict"]
            for name in [name for name in weights if name.startswith(DISCRIMINATOR_PREFIX)]:
                del weights[name]
            own = self.state_dict().items()
            weights |= {name: value for name, value in own if name.startswith(DISCRIMINATOR_PREFIX)}
            del checkpoint["optimizer_states"][1:]

    def has_same_discriminator(self, weights: Mapping[str, Tensor]) -> bool:
        """Compare the shape of the discriminator with that of a checkpoint.

        Args:
            weights: all weights of the checkpoint

        Returns:
            True if both have the same tensors, or no discriminator.
        """
        shapes = [
            {name: value.shape for name, value in each.items() if name.startswith(DISCRIMINATOR_PREFIX)}
            for each in (weights, self.state_dict())
        ]
        return shapes[0] == shapes[1]
