"""Adversarial losses over the logits of several discriminators, and feature matching.

``real`` and ``fake`` are lists with one tensor of logits per discriminator; the losses are means over them.
Sources: least squares, X. Mao et al., ICCV 2017; hinge, J. Lim, J. Ye, "Geometric GAN", 2017; binary cross entropy,
I. Goodfellow et al., 2014 (the non-saturating form for the generator); feature matching, K. Kumar et al., "MelGAN",
2019.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

Kind = Literal["least_squares", "hinge", "bce"]


def _least_squares(logits: Tensor, real: bool) -> Tensor:
    return (logits - float(real)).square().mean()


def _hinge(logits: Tensor, real: bool) -> Tensor:
    return F.relu(1 - logits if real else 1 + logits).mean()


def _bce(logits: Tensor, real: bool) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, float(real)))


_JUDGE: dict[Kind, Callable[[Tensor, bool], Tensor]] = {
    "least_squares": _least_squares,
    "hinge": _hinge,
    "bce": _bce,
}


def discriminator_loss(kind: Kind, real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Low where real sound is told from decoded sound."""
    judge = _JUDGE[kind]
    return torch.stack([judge(r.float(), True) + judge(f.float(), False) for r, f in zip(real, fake)]).mean()


def generator_loss(kind: Kind, fake: Sequence[Tensor]) -> Tensor:
    """Low where decoded sound passes for real."""
    if kind == "hinge":
        return -torch.stack([logits.float().mean() for logits in fake]).mean()
    return torch.stack([_JUDGE[kind](logits.float(), True) for logits in fake]).mean()


@torch.no_grad()
def balance(kind: Kind, real: Sequence[Tensor], fake: Sequence[Tensor]) -> dict[str, Tensor]:
    """How the discriminators judge: the mean logit of real and of decoded sound, ``real_score`` and ``fake_score``, and
    ``discriminator_right``, the share of logits on the right side of the middle: 1 where the two are always told apart,
    0.5 where they are not told apart at all."""
    middle = 0.5 if kind == "least_squares" else 0.0
    right = [((r > middle).float().mean() + (f <= middle).float().mean()) / 2 for r, f in zip(real, fake)]
    means = {"real_score": real, "fake_score": fake}
    return {
        **{name: torch.stack([logits.float().mean() for logits in several]).mean() for name, several in means.items()},
        "discriminator_right": torch.stack(right).mean(),
    }


def feature_matching(real: Sequence[Tensor], fake: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of the discriminators' features, relative to their size in real sound."""
    terms = [(f - r.detach()).abs().mean() / r.detach().abs().mean().clamp(min=1e-5) for r, f in zip(real, fake)]
    return torch.stack(terms).mean()
