"""A Lightning module that knows how a codec learns, but nothing about files."""

import math
from collections.abc import Callable, Mapping
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
from codec.model.processes import ONE_PROCESS, Processes
from codec.training.batches import CountedBatch
from codec.training.cuda_graph import GraphedSteps
from codec.training.deferred_metrics import DeferredMetrics
from codec.training.divergence import ROLLBACK_LR_RATIO
from codec.training.host_copy import to_device
from codec.training.learning_rate import learning_rate_ratio
from codec.training.metrics_log import VALIDATION, MetricsLog
from codec.training.optimizers import build_optimizers, set_learning_rate
from codec.training.own_crops import own_numbers
from codec.training.skipped_steps import SkippedSteps
from codec.training.state import TrainingState
from codec.training.step import StepInputs, StepKind, StepResult, TrainingStep
from codec.training.step_statistics import StepStatistics
from codec.training.validation_sums import EVALUATION_SPLITS, ValidationSums

LOG_EVERY = 100
"""Steps between records of loss terms and step statistics."""
CodecBuilder = Callable[[CodecConfig], CodecBase]
CHECKPOINT_FORMAT = 2
"""Version of the checkpoint format. Checkpoints of version 1 do not contain it."""
DISCRIMINATOR_PREFIX = "discriminator."
"""Prefix of the names of the discriminator's weights in a checkpoint."""


class CodecModule(L.LightningModule):
    """Trains ``codec``, and maintains ``average``, an exponential moving average of its weights.

    The average is validated and saved. All randomness of a step is drawn from the recipe's seed and the number
    of the step, so that a resumed run computes what an uninterrupted one would have computed.

    Args:
        recipe: architecture, losses and settings
        build: function that makes a codec from its configuration
        state: progress that data and callbacks share; by default a new one
        metrics: table that values are written to; None: they are not recorded
        processes: those that train together; each computes its crops of a batch
    """

    def __init__(
        self,
        recipe: Recipe,
        build: CodecBuilder = Codec,
        state: TrainingState | None = None,
        metrics: MetricsLog | None = None,
        processes: Processes = ONE_PROCESS,
    ):
        super().__init__()
        self.automatic_optimization = False
        self.recipe = recipe
        self.state = state or TrainingState(validate_every=recipe.train.validate_every)
        self.metrics, self.processes = metrics, processes
        self._sharing: Processes = ONE_PROCESS
        self.deferred = DeferredMetrics(metrics)
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
        self.statistics = StepStatistics(processes)
        self.skipped = SkippedSteps(self.state)
        self._computation: TrainingStep | GraphedSteps | None = None
        self.sums = ValidationSums(recipe.codec.quantizer.size, processes)
        self.data_fingerprints = ""
        """Fingerprints of the training and validation clips."""

    def start_from(self, codec: CodecBase) -> None:
        """Copy the weights and tables of another codec.

        Args:
            codec: a codec of the same architecture
        """
        self.codec.load_state_dict(codec.state_dict())
        self.average.load_state_dict(codec.state_dict())

    def share_batches(self) -> None:
        """Let what depends on the whole batch be combined over the processes, from now on.

        Until then, steps can be timed in one process.

        Raises:
            UserError: there are several, and the codec cannot.
        """
        self.codec.share_batches(self.processes)
        self.losses.processes = self._sharing = self.processes

    def configure_optimizers(self) -> list[Optimizer]:
        """Make the optimisers.

        Returns:
            That of the codec, then that of the discriminator, if there is one.
        """
        return build_optimizers(self.recipe, self.codec, self.discriminator, capturable=self.uses_graphs)

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
            ``[batch]``, on the CPU: all codebooks, or a random number of them, which need not be whole (an average over
            frames).
        """
        quantizer = self.recipe.codec.quantizer
        share = torch.rand(batch, generator=generator)
        if self.recipe.train.rates == "log_uniform":
            some = quantizer.codebooks**share
        else:
            some = 1 + (quantizer.codebooks - 1) * share
        full = torch.rand(batch, generator=generator) < quantizer.full_rate_share
        return torch.where(full, quantizer.codebooks, some)

    @property
    def quantizes(self) -> bool:
        """False in the phase without quantizer, see :mod:`codec.training.quantizer_start`."""
        return not self.recipe.train.unquantized_share or self.state.quantized_from is not None

    # --- training --------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Apply the recipe's settings instead of the checkpoint's, and repeat an interrupted validation."""
        for optimizer, fresh in zip(self.trainer.optimizers, self.configure_optimizers()):
            for group, wanted in zip(optimizer.param_groups, fresh.param_groups, strict=True):
                lr = float(group["lr"])  # each step sets it; a number, or a tensor for CUDA graphs
                group.update({name: wanted[name] for name in wanted.keys() - {"params"}})
                group["lr"] = wanted["lr"].fill_(lr) if isinstance(wanted["lr"], Tensor) else lr
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
        state, ratio = self.state, learning_rate_ratio(self.recipe, self.state.step, self.state.time_share)
        ratio *= ROLLBACK_LR_RATIO**state.rollbacks
        generator = self.generator_at(state.step)
        dropout = int(torch.randint(2**62, (), generator=generator))
        torch.manual_seed(dropout + self.processes.rank)
        codebooks = self.own_codebooks(generator)
        kind = self.step_kind(generator)
        self._set_learning_rates(ratio)
        inputs = self.step_inputs(batch.waveform, codebooks, self.codec.draw_restarts(generator))
        result = self.compute_step(inputs, kind)
        self._record(result, kind, ratio)

    def compute_step(self, inputs: StepInputs, kind: StepKind) -> StepResult:
        """Compute a step with the optimisers that the trainer holds.

        Args:
            inputs: tensors of the step
            kind: what it computes

        Returns:
            Values for the log.
        """
        if self._computation is None:
            self._computation = self.make_computation(self._torch_optimizers(), self.manual_backward)
        return self._computation(inputs, kind)

    def make_computation(
        self, optimizers: list[Optimizer], backward: Callable[[Tensor], object] = Tensor.backward
    ) -> TrainingStep | GraphedSteps:
        """Make what computes steps.

        Args:
            optimizers: as :meth:`configure_optimizers` makes them
            backward: computes gradients from a loss

        Returns:
            The computation, on the device of the module.
        """
        parts = self.recipe, self.codec, self.average, self.losses, self.discriminator
        step = TrainingStep(*parts, optimizers, backward, self._sharing)
        return GraphedSteps(step) if self.uses_graphs else step

    def _torch_optimizers(self) -> list[Optimizer]:
        found = self.optimizers(use_pl_optimizer=False)
        return found if isinstance(found, list) else [found]  # type: ignore[list-item]

    def _set_learning_rates(self, ratio: float) -> None:
        highest = self.recipe.optim.lr, self.recipe.adversarial.lr
        for optimizer, lr in zip(self._torch_optimizers(), highest):
            set_learning_rate(optimizer, lr * ratio)

    @property
    def uses_graphs(self) -> bool:
        """Whether steps are CUDA graphs: ``train.cuda_graph`` on a GPU."""
        return self.recipe.train.cuda_graph and self.device.type == "cuda"

    def own_codebooks(self, generator: torch.Generator) -> Tensor:
        """Draw the number of codebooks for each item of the batch.

        Args:
            generator: source of the random numbers

        Returns:
            Those of the items of this process; see :meth:`draw_codebooks`.
        """
        data = self.recipe.data
        drawn = self.draw_codebooks(data.batch_size * data.channels, generator)
        return drawn.unflatten(0, (data.batch_size, -1))[own_numbers(self.recipe, self.processes)].flatten()

    def step_kind(self, generator: torch.Generator) -> StepKind:
        """Decide what the step that is due computes.

        Args:
            generator: source of the random scales of the mel loss

        Returns:
            The kind of the step.
        """
        step, adversarial = self.state.step, self.recipe.adversarial
        scales = torch.randperm(len(ALL_MEL_SCALES), generator=generator)[: self.recipe.train.mel_scales].tolist()
        takes_part = self.discriminator is not None and step >= adversarial.start_step
        return StepKind(
            mel_scales=tuple(scales),
            quantize=self.quantizes,
            adversarial=takes_part,
            train_discriminator=takes_part and step % adversarial.every == 0,
            log_all=step % LOG_EVERY == 0,
        )

    def step_inputs(self, target: Tensor, codebooks: Tensor, restarts: Tensor) -> StepInputs:
        """Bring what was drawn for the step that is due to its device, in one copy that nothing waits for.

        Args:
            target: waveforms ``[batch, 1, samples]``, on the device
            codebooks: number of codebooks of each item ``[batch]``, on the CPU
            restarts: random numbers of dead-code restarts, on the CPU

        Returns:
            The tensors of the step.
        """
        # the decay is lower in the first steps, so that the average soon forgets the initial weights
        done = self.state.step + 1
        decay = min(self.recipe.optim.ema_decay, (1 + done) / (10 + done))
        drawn = to_device(torch.cat([codebooks.float(), restarts, torch.tensor([1 - decay])]), target.device)
        numbers, random, weight = drawn.split([len(codebooks), len(restarts), 1])
        return StepInputs(target, numbers, random, weight[0])

    def _record(self, result: StepResult, kind: StepKind, ratio: float) -> None:
        """Count the step that was computed, and record its values; those of an accelerator are not waited for."""
        state = self.state
        self.skipped.add(state.step, result.finite)
        self.statistics.add(**result.statistics)
        terms, metric_total = result.terms, result.metric_total
        if kind.log_all or state.first_loss is None:
            metric_total, *means = self.processes.mean([metric_total, *terms.values()])
            terms = dict(zip(terms, means))
        if state.first_loss is None:
            loss = float(metric_total)
            state.first_loss = loss if math.isfinite(loss) else None
        state.step += 1
        if kind.log_all:
            self.write("train", terms | {"lr": self.recipe.optim.lr * ratio})
        if state.step % LOG_EVERY == 0:
            self._write_statistics()

    def on_train_end(self) -> None:
        """Record what has not arrived from the device yet."""
        self.deferred.flush()

    # --- validation ------------------------------------------------------------------------------

    def validation_step(self, batch: CountedBatch, batch_index: int, dataloader_idx: int = 0) -> None:
        """Evaluate the averaged weights at the full bit rate on one batch of fixed crops.

        Args:
            batch: the waveforms, with counts that are not used here
            batch_index: not used
            dataloader_idx: position of the split in :data:`codec.training.validation_sums.EVALUATION_SPLITS`
        """
        output = self.average(batch.waveform)
        report = self.losses(output.waveform, batch.waveform, log_all=True)
        split = EVALUATION_SPLITS[dataloader_idx]
        if split == VALIDATION:
            self.sums.add_codes(output.quantized.codes)
        self.sums.add_losses(split, report.terms | {"total": report.total})

    def on_validation_epoch_start(self) -> None:
        """Begin new sums, and record the statistics of the steps before."""
        self.sums = ValidationSums(self.recipe.codec.quantizer.size, self.processes)
        if self.statistics:
            self._write_statistics()

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
        self.deferred.flush()

    def write(self, split: str, terms: Mapping[str, Tensor | float], step: int | None = None) -> None:
        """Record values in the metrics, if there are any.

        Args:
            split: split that the values were measured on
            terms: scalars by name; those that are not finite are left out
            step: the step they belong to (default: the present one)
        """
        self.deferred.write(self.state.step if step is None else step, split, terms)

    def _write_statistics(self) -> None:
        self.deferred.write_copy(self.state.step, "train", *self.statistics.take())

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
