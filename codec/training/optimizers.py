"""The optimisers of a training: AdamW for the codec and for the discriminator."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from codec.config import Recipe
from codec.model.convnext import is_skip_path


def build_optimizers(
    recipe: Recipe, codec: nn.Module, discriminator: nn.Module | None, capturable: bool = False
) -> list[Optimizer]:
    """Make the optimisers of a recipe.

    Weight decay applies to matrices, not to biases and scales, nor to the linear skip paths, which have a learning rate
    of their own.

    Args:
        recipe: learning rates, momenta and weight decay
        codec: the codec whose trainable parameters are optimised
        discriminator: the discriminator, if there is one
        capturable: whether steps can be recorded as CUDA graphs; learning rates are tensors then

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
    optimizers = [_adamw(groups, optim.lr, optim.betas, capturable)]
    if discriminator is not None:
        groups = [{"params": [*discriminator.parameters()], "weight_decay": 0.01, "lr_ratio": 1.0}]
        optimizers.append(_adamw(groups, recipe.adversarial.lr, optim.betas, capturable))
    return optimizers


def _adamw(groups: list[dict[str, Any]], lr: float, betas: tuple[float, float], capturable: bool) -> Optimizer:
    if capturable:
        for group in groups:
            device = group["params"][0].device if group["params"] else None
            group["lr"] = torch.tensor(lr, device=device)
    return torch.optim.AdamW(groups, lr=lr, betas=betas, fused=True, capturable=capturable)


def set_learning_rate(optimizer: Optimizer, lr: float) -> None:
    """Set the learning rate of each group of parameters.

    Args:
        optimizer: optimiser of a recipe
        lr: learning rate, before the ratio of the group
    """
    for group in optimizer.param_groups:
        value = lr * group["lr_ratio"]
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(value)
        else:
            group["lr"] = value


def step_if(optimizer: Optimizer, finite: Tensor) -> None:
    """Take a step of a fused optimiser, unless a gradient is not finite.

    The device decides, in the way that is made for loss scaling (:class:`torch.amp.GradScaler`): nothing waits for it.

    Args:
        optimizer: a fused optimiser
        finite: False (scalar) if nothing is to change
    """
    optimizer.found_inf = (~finite).float()  # type: ignore[attr-defined]
    optimizer.step()
    del optimizer.found_inf  # type: ignore[attr-defined]
