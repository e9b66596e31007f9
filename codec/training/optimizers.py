"""The optimisers of a training: AdamW for the codec and for the discriminator."""

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import nn
from torch.optim import Optimizer

from codec.config import Recipe
from codec.model.convnext import is_skip_path


def build_optimizers(recipe: Recipe, codec: nn.Module, discriminator: nn.Module | None) -> list[Optimizer]:
    """Make the optimisers of a recipe.

    Weight decay applies to matrices, not to biases and scales, nor to the linear skip paths, which have a learning rate
    of their own.

    Args:
        recipe: learning rates, momenta and weight decay
        codec: the codec whose trainable parameters are optimised
        discriminator: the discriminator, if there is one

    Returns:
        The optimiser of the codec, then that of the discriminator.
    """
    optim = recipe.optim
    trainable = {name: p for name, p in codec.named_parameters() if p.requires_grad}
    skips = [p for name, p in trainable.items() if is_skip_path(name)]
    others = [p for name, p in trainable.items() if not is_skip_path(name)]
    groups = [
        {"params": [p for p in others if p.ndim >= 2], "weight_decay": optim.l2, "lr_ratio": 1.0},
        {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0, "lr_ratio": 1.0},
    ]
    if skips:
        groups.append({"params": skips, "weight_decay": 0.0, "lr_ratio": optim.skip_lr_ratio})
    optimizers: list[Optimizer] = [torch.optim.AdamW(groups, lr=optim.lr, betas=optim.betas, fused=True)]
    if discriminator is not None:
        lr = recipe.adversarial.lr
        optimizers.append(torch.optim.AdamW(discriminator.parameters(), lr=lr, betas=optim.betas, fused=True))
    return optimizers


def set_learning_rate(optimizer: Optimizer | LightningOptimizer, lr: float) -> None:
    """Set the learning rate of each group of parameters.

    Args:
        optimizer: optimiser of a codec
        lr: learning rate, before the ratio of the group
    """
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_ratio"]
