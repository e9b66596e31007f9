"""Adversarial losses over the logits of several discriminators, and feature matching.

``real`` and ``fake`` are lists with one tensor of logits per discriminator, for real and for decoded waveforms; the
losses are means over the discriminators.

Sources: least squares, X. Mao et al., ICCV 2017; hinge, J. Lim, J. Ye, "Geometric GAN", 2017; binary cross entropy,
I. Goodfellow et al., 2014 (the non-saturating form for the generator); feature matching, K. Kumar et al., "MelGAN",
2019.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from codec.model.processes import ONE_PROCESS, Processes

AdversarialKind = Literal["least_squares", "hinge", "bce"]
"""Names of the adversarial losses, as recipes have them."""


def _least_squares(logits: Tensor, real: bool) -> Tensor:
    return (logits - float(real)).square().mean()


def _hinge(logits: Tensor, real: bool) -> Tensor:
    return F.relu(1 - logits if real else 1 + logits).mean()


def _bce(logits: Tensor, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


_CRITERIA: dict[AdversarialKind, Callable[[Tensor, bool], Tensor]] = {
    "least_squares": _least_squares,
    "hinge": _hinge,
    "bce": _bce,
}


def discriminator_loss(kind: AdversarialKind, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Return the loss of the discriminators, which is low if they distinguish real from decoded waveforms.

    Args:
        kind: name of the loss
        real: logits of real waveforms, one tensor of any shape per discriminator
        fake: logits of decoded waveforms, likewise

    Returns:
        The loss in float32, a scalar.
    """
    criterion = _CRITERIA[kind]
    return torch.stack([criterion(r.float(), True) + criterion(f.float(), False) for r, f in zip(real, fake)]).mean()


def generator_loss(kind: AdversarialKind, fake: Sequence[Tensor]) -> Tensor:
    """Return the adversarial loss of the codec, which is low if decoded waveforms are classified as real.

    Args:
        kind: name of the loss
        fake: logits of decoded waveforms, one tensor of any shape per discriminator

    Returns:
        The loss in float32, a scalar.
    """
    if kind == "hinge":
        return -torch.stack([logits.float().mean() for logits in fake]).mean()
    return torch.stack([_CRITERIA[kind](logits.float(), True) for logits in fake]).mean()


@torch.no_grad()
def discriminator_statistics(
    kind: AdversarialKind, real: Sequence[Tensor], fake: Sequence[Tensor]
) -> dict[str, Tensor]:
    """Return statistics of the discriminators for the log of a training.

    Args:
        kind: name of the loss
        real: logits of real waveforms, one tensor of any shape per discriminator
        fake: logits of decoded waveforms, likewise

    Returns:
        ``real_score`` and ``fake_score``, the mean logits, and ``discriminator_right``, the accuracy: the share of
        logits on the right side of the middle, from 0.5 (no better than chance) to 1 (always right).
    """
    middle = 0.5 if kind == "least_squares" else 0.0
    right = [((r > middle).float().mean() + (f <= middle).float().mean()) / 2 for r, f in zip(real, fake)]
    means = {"real_score": real, "fake_score": fake}
    return {
        **{name: torch.stack([logits.float().mean() for logits in several]).mean() for name, several in means.items()},
        "discriminator_right": torch.stack(right).mean(),
    }


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor], processes: Processes = ONE_PROCESS) -> Tensor:
    """Return the distance between the features that the discriminators compute of real and of decoded waveforms.

    Args:
        real: features of real waveforms, one tensor per layer; they receive no gradients
        fake: features of decoded waveforms, likewise
        processes: those that share the batch

    Returns:
        Mean over the layers of the mean absolute difference, relative to the mean magnitude of ``real``; a scalar.
    """
    magnitudes = processes.mean([r.detach().abs().mean() for r in real])
    terms = [
        (f - r.detach()).abs().mean() / magnitude.clamp(min=1e-5) for r, f, magnitude in zip(real, fake, magnitudes)
    ]
    return torch.stack(terms).mean()
