"""The optimisers of a training: AdamW for the codec and for the discriminator."""

import torch
from torch import nn
from torch.optim import Optimizer

from codec.config import Recipe


def build_optimizers(recipe: Recipe, codec: nn.Module, discriminator: nn.Module | None) -> list[Optimizer]:
    """Make the optimisers of a recipe. Weight decay applies to matrices, not to biases and scales.

    Args:
        recipe: learning rates, momenta and weight decay
        codec: the codec whose trainable parameters are optimised
        discriminator: the discriminator, if there is one

    Returns:
        The optimiser of the codec, then that of the discriminator.
    """
    optim = recipe.optim
    trainable = [p for p in codec.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": optim.l2},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizers: list[Optimizer] = [torch.optim.AdamW(groups, lr=optim.lr, betas=optim.betas, fused=True)]
    if discriminator is not None:
        lr = recipe.adversarial.lr
        optimizers.append(torch.optim.AdamW(discriminator.parameters(), lr=lr, betas=optim.betas, fused=True))
    return optimizers
