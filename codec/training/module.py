"""The training step: a Lightning module that knows how a codec learns, and nothing of files."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from codec.config import CodecConfig, Recipe
from codec.losses import CompositeLoss
from codec.losses.adversarial import balance, discriminator_loss, feature_matching, generator_loss
from codec.losses.discriminators import BandSTFTDiscriminator
from codec.losses.spectrograms import ALL_MEL_SCALES
from codec.model.codec import Codec, CodecBase
from codec.training.step_statistics import StepStatistics

COMMITMENT_WEIGHT = 0.02
"""Weight of the quantizer's loss: enough to keep the latent near the codebooks. At the published 0.25 the encoder
gives up more of the signal than the stages gain (measured: 4 dB less without quantization, nothing won with it)."""
LOG_EVERY = 100
MOST_SKIPPED = 10
"""Steps in a row without a finite loss: a clip can be at fault for one, ten are the run's."""
CodecBuilder = Callable[[CodecConfig], CodecBase]
SPLITS = ("train_fixed", "val")
FORMAT = 2
"""Of checkpoints. Version 1 did not say so."""
KEPT = ("step", "validated", "first_loss", "skipped_in_a_row")
"""Attributes of the module that stand in a checkpoint."""
DISCRIMINATOR = "discriminator."
"""Before the names of its weights."""


class CodecModule(L.LightningModule):
    """Trains ``codec`` and keeps ``average``, an exponential moving average of its weights, which is what is judged
    and kept.

    ``step`` counts finished training steps (Lightning's ``global_step`` counts every optimiser's). All randomness of
    a step is drawn from the seed and ``step``, so that a resumed run does what an uninterrupted one would have done.
    """

    def __init__(self, recipe: Recipe, build: CodecBuilder = Codec):
        super().__init__()
        self.automatic_optimization = False
        self.recipe = recipe
        self.step = 0
        self.validate_every = recipe.train.validate_every
        """Steps between validations."""
        self.time_spent = 0.0
        """Share of the recipe's minutes, where it sets a limit."""
        self.codec = build(recipe.codec)
        self.average = build(recipe.codec).eval().requires_grad_(False)
        self.losses = CompositeLoss(recipe.losses, recipe.codec.sample_rate, recipe.codec.hop)
        self.discriminator: nn.Module | None = None
        if recipe.adversarial.weight > 0:
            self.discriminator = BandSTFTDiscriminator(recipe.adversarial.width)
        if recipe.train.freeze_encoder:
            self.codec.encoder.requires_grad_(False)
            self.codec.quantizer.requires_grad_(False)
        if recipe.train.compile:
            self.codec.compile()
        self.window = StepStatistics()
        self.sums: dict[str, Tensor] = {}
        self.usage: list[float] = []
        """Share of the entries of each codebook that the last validation used, of those it could have used."""
        self.data_fingerprints = ""
        """Of training and validation clips."""
        self.validation_loss = math.nan
        """Of all terms, at the last validation."""
        self.validated: int | None = None
        """Step of the last validation."""
        self.first_loss: float | None = None
        """Of the first step, all terms; starts anew with other losses."""
        self.skipped_in_a_row = 0
        """Steps up to now whose gradient was not finite, so that they changed nothing."""

    def start_from(self, codec: CodecBase) -> None:
        """Takes over the weights and tables of another codec of the same architecture."""
        self.codec.load_state_dict(codec.state_dict())
        self.average.load_state_dict(codec.state_dict())

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        optim = self.recipe.optim
        learnt = [p for p in self.codec.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in learnt if p.ndim >= 2], "weight_decay": optim.l2},
            {"params": [p for p in learnt if p.ndim < 2], "weight_decay": 0.0},
        ]
        optimizers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(groups, lr=optim.lr, betas=optim.betas, fused=True)
        ]
        if self.discriminator is not None:
            adversarial = self.recipe.adversarial
            optimizers.append(
                torch.optim.AdamW(self.discriminator.parameters(), lr=adversarial.lr, betas=optim.betas, fused=True)
            )
        return optimizers

    def learning_rate_ratio(self) -> float:
        """Linear warm-up, then cosine decay to ``final_lr_ratio`` at the last step, or at the end of the time."""
        optim = self.recipe.optim
        warm = min(1.0, (self.step + 1) / max(1, optim.warmup_steps))
        done = max(self.step / self.recipe.train.steps, self.time_spent)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
        return warm * (optim.final_lr_ratio + (1 - optim.final_lr_ratio) * cosine)

    def generator_at(self, step: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.recipe.train.seed * 1_000_003 + step)

    def draw_codebooks(self, batch: int, generator: torch.Generator) -> Tensor:
        """How many codebooks each item uses on average: all, or, so that one model serves every bit rate, a random
        number."""
        quantizer = self.recipe.codec.quantizer
        some = 1 + (quantizer.codebooks - 1) * torch.rand(batch, generator=generator)
        full = torch.rand(batch, generator=generator) < quantizer.full_rate_share
        return torch.where(full, quantizer.codebooks, some).to(self.device)

    def validation_is_next(self, ends: bool) -> bool:
        """Whether a validation follows on the steps done so far. ``ends``: the run is over."""
        return bool(self.step) and self.validated != self.step and (ends or self.step % self.validate_every == 0)

    # --- training --------------------------------------------------------------------------------

    def on_train_start(self) -> None:
        """Settings are those of the recipe, whatever a checkpoint says; a validation that was broken off is made up
        for."""
        for optimizer, fresh in zip(self.trainer.optimizers, self.configure_optimizers()):
            for group, wanted in zip(optimizer.param_groups, fresh.param_groups, strict=True):
                group.update({name: wanted[name] for name in wanted.keys() - {"params", "lr"}})  # each step sets lr
        if self.validation_is_next(self.trainer.should_stop):
            self.trainer.validating = True
            self.trainer.fit_loop.epoch_loop.val_loop.run()
            self.trainer.training = True

    def training_step(self, target: Tensor, batch_index: int) -> None:
        generator = self.generator_at(self.step)
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))  # dropout
        optimizers = self.optimizers()
        first, *second = optimizers if isinstance(optimizers, list) else [optimizers]
        ratio = self.learning_rate_ratio()
        for group in first.param_groups:
            group["lr"] = self.recipe.optim.lr * ratio
        logged = self.step % LOG_EVERY == 0

        output = self.codec(target, self.draw_codebooks(len(target), generator))
        scales = torch.randperm(len(ALL_MEL_SCALES), generator=generator)[: self.recipe.train.mel_scales].tolist()
        report = self.losses(output.wave, target, log_all=logged, mel_scales=scales)
        terms = dict(report.terms)
        terms["commitment"] = output.quantized.commitment
        total = report.total + COMMITMENT_WEIGHT * terms["commitment"]
        if self.recipe.optim.l1:
            weights = [p.abs().mean() for p in self.codec.parameters() if p.requires_grad and p.ndim >= 2]
            total = total + self.recipe.optim.l1 * torch.stack(weights).sum()
        if self.discriminator is not None and self.step >= self.recipe.adversarial.start_step:
            for group in second[0].param_groups:
                group["lr"] = self.recipe.adversarial.lr * ratio
            terms |= self.adversarial_step(self.discriminator, second[0], output.wave, target)
            adversarial = self.recipe.adversarial
            total = total + adversarial.weight * terms["adversarial"] + adversarial.feature_weight * terms["features"]

        first.zero_grad()
        self.manual_backward(total)
        norm = nn.utils.clip_grad_norm_(self.codec.parameters(), self.recipe.optim.clip_norm)
        finite = bool(torch.isfinite(norm))
        self.skipped_in_a_row = 0 if finite else self.skipped_in_a_row + 1
        if finite:
            first.step()
            self.window.add(grad_norm=norm.detach(), clipped=(norm > self.recipe.optim.clip_norm).float())
            if not self.recipe.train.freeze_encoder:
                self.window.add(restarted=float(self.codec.adapt(generator)))
            if self.first_loss is None:
                self.first_loss = float(report.total.detach())
        self.step += 1
        if finite:
            self.update_average()
        else:
            self.write("train", {"skipped": 1.0})
        if logged and finite:
            self.write("train", terms | {"total": total, "lr": self.recipe.optim.lr * ratio})
        if self.step % LOG_EVERY == 0:
            self.write("train", self.window.take())

    def adversarial_step(
        self, discriminator: nn.Module, optimizer: Any, output: Tensor, target: Tensor
    ) -> dict[str, Tensor]:
        """Teaches the discriminator on every ``every``-th step, and returns the codec's losses before it."""
        if self.step % self.recipe.adversarial.every == 0:
            loss = self.discriminator_loss(discriminator, output, target)
            optimizer.zero_grad()
            self.manual_backward(loss)
            norm = nn.utils.get_total_norm([p.grad for p in discriminator.parameters() if p.grad is not None])
            if torch.isfinite(norm):
                optimizer.step()
                self.window.add(discriminator=loss.detach(), discriminator_grad_norm=norm)
        return self.judge(discriminator, output, target)

    def discriminator_loss(self, discriminator: nn.Module, output: Tensor, target: Tensor) -> Tensor:
        """What the discriminator learns from; no gradient reaches ``output``."""
        kind = self.recipe.adversarial.loss
        return discriminator_loss(kind, discriminator(target).logits, discriminator(output.detach()).logits)

    def judge(self, discriminator: nn.Module, output: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The codec's losses before the discriminator."""
        kind = self.recipe.adversarial.loss
        # the codec's gradient passes through, the discriminator's own is not needed
        discriminator.requires_grad_(False)
        with torch.no_grad():
            real = discriminator(target)
        fake = discriminator(output)
        discriminator.requires_grad_(True)
        self.window.add(**balance(kind, real.logits, fake.logits))
        return {
            "adversarial": generator_loss(kind, fake.logits),
            "features": feature_matching(real.features, fake.features),
        }

    @torch.no_grad()
    def update_average(self) -> None:
        # an average over a long time would for long remember the random start
        decay = min(self.recipe.optim.ema_decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.codec.parameters()), 1 - decay)
        for kept, current in zip(self.average.buffers(), self.codec.buffers()):
            kept.copy_(current)

    # --- judging ---------------------------------------------------------------------------------

    def validation_step(self, target: Tensor, batch_index: int, dataloader_idx: int = 0) -> None:
        """Every loss term of the averaged weights at the full bit rate, on fixed crops of both splits."""
        output = self.average(target)
        report = self.losses(output.wave, target, log_all=True)
        split = SPLITS[dataloader_idx]
        values = report.terms | {"total": report.total}
        if split == "val":
            size = self.recipe.codec.quantizer.size
            codes = output.quantized.codes.transpose(0, 1).flatten(1)
            counts = torch.stack([torch.bincount(row, minlength=size) for row in codes]).float()
            self.add("val counts", counts)
        self.add(f"{split} batches", torch.ones(()))
        for name, value in values.items():
            self.add(f"{split} {name}", value)

    def add(self, name: str, value: Tensor) -> None:
        self.sums[name] = self.sums[name] + value if name in self.sums else value

    def on_validation_epoch_start(self) -> None:
        self.sums = {}
        if self.window.values:
            self.write("train", self.window.take())

    def on_validation_epoch_end(self) -> None:
        self.validated = self.step
        counts = self.sums.pop("val counts")
        for split in SPLITS:
            batches = self.sums.pop(f"{split} batches")
            names = [name for name in self.sums if name.split()[0] == split]
            terms = {name.split()[1]: self.sums[name] / batches for name in names}
            if split == "val":
                self.validation_loss = float(terms["total"])
                shares = counts / counts.sum(1, keepdim=True)
                perplexity = torch.exp(-torch.xlogy(shares, shares).sum(1))
                # so many frames cannot use more entries than there are frames
                usage = (counts > 0).sum(1) / counts.sum(1).clamp(max=counts.shape[1])
                self.usage = usage.tolist()
                for index, (used, value) in enumerate(zip(usage, perplexity)):
                    terms[f"usage_q{index}"], terms[f"perplexity_q{index}"] = used, value
            self.write(split, terms)

    def write(self, split: str, terms: Mapping[str, Tensor | float]) -> None:
        for logger in self.loggers:
            values = {name: value.detach() if isinstance(value, Tensor) else value for name, value in terms.items()}
            logger.log_metrics({f"{split}/{name}": float(value) for name, value in values.items()}, self.step)

    # --- resuming --------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Where Lightning's loops stand is left out: the step says all, also where the interval of validation is
        another when the run goes on."""
        checkpoint.pop("loops", None)
        checkpoint["decodes"], checkpoint["window"] = self.average.decodes, self.window.state()
        checkpoint |= {"format": FORMAT, "validate_every": self.validate_every}
        checkpoint["data_fingerprints"] = self.data_fingerprints
        for name in KEPT:
            checkpoint[name] = getattr(self, name)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        for name in KEPT:
            setattr(self, name, checkpoint[name])
        self.average.decodes = tuple(checkpoint["decodes"])
        self.window.go_on_from(checkpoint["window"])
        if not self.keeps_discriminator(checkpoint["state_dict"]):
            weights = checkpoint["state_dict"]
            for name in [name for name in weights if name.startswith(DISCRIMINATOR)]:
                del weights[name]
            weights |= {name: value for name, value in self.state_dict().items() if name.startswith(DISCRIMINATOR)}
            del checkpoint["optimizer_states"][1:]

    def keeps_discriminator(self, weights: Mapping[str, Tensor]) -> bool:
        """Whether the discriminator of a checkpoint is one like this module's; both may have none."""
        shapes = [
            {name: value.shape for name, value in each.items() if name.startswith(DISCRIMINATOR)}
            for each in (weights, self.state_dict())
        ]
        return shapes[0] == shapes[1]
