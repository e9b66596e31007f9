"""The two sides of adversarial training: the loss of the discriminator, and the adversarial losses of the codec."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from codec.losses import adversarial
from codec.losses.adversarial import AdversarialKind
from codec.model.processes import ONE_PROCESS, Processes


@dataclass(frozen=True)
class CodecAgainstDiscriminator:
    """Adversarial losses of the codec."""

    terms: dict[str, Tensor]
    """``adversarial`` and ``features`` (feature matching)."""
    statistics: dict[str, Tensor]
    """Discriminator accuracy and mean scores, see :func:`codec.losses.adversarial.discriminator_statistics`."""


def discriminator_objective(discriminator: nn.Module, kind: AdversarialKind, output: Tensor, target: Tensor) -> Tensor:
    """Compute the loss that the discriminator minimises.

    Args:
        discriminator: the discriminator
        kind: the recipe's ``adversarial.loss``
        output: decoded waveforms ``[batch, 1, samples]``; no gradient reaches them
        target: original waveforms of the same shape

    Returns:
        A scalar.
    """
    return adversarial.discriminator_loss(kind, discriminator(target).logits, discriminator(output.detach()).logits)


def codec_objective(
    discriminator: nn.Module,
    kind: AdversarialKind,
    output: Tensor,
    target: Tensor,
    processes: Processes = ONE_PROCESS,
) -> CodecAgainstDiscriminator:
    """Compute the adversarial losses of the codec; the weights of the discriminator get no gradient.

    Args:
        discriminator: the discriminator
        kind: the recipe's ``adversarial.loss``
        output: decoded waveforms ``[batch, 1, samples]``
        target: original waveforms of the same shape
        processes: those that share the batch

    Returns:
        The losses, and statistics of the discriminator.
    """
    discriminator.requires_grad_(False)
    with torch.no_grad():
        real = discriminator(target)
    fake = discriminator(output)
    discriminator.requires_grad_(True)
    terms = {
        "adversarial": adversarial.generator_loss(kind, fake.logits),
        "features": adversarial.feature_matching(real.features, fake.features, processes),
    }
    return CodecAgainstDiscriminator(terms, adversarial.discriminator_statistics(kind, real.logits, fake.logits))
