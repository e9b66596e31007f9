"""Floating-point operations of a computation, counted by PyTorch."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, register_flop_formula


@register_flop_formula(torch.ops.mkldnn._linear_pointwise)  # type: ignore[untyped-decorator]
def _linear_flops(x: torch.Size, weight: torch.Size, *_: Any, **__: Any) -> int:
    """Count those of the operator that :func:`codec.model.products.linear` takes, which PyTorch does not know."""
    return 2 * math.prod(x) * weight[0]


def count_flops(run: Callable[[], object]) -> float:
    """Count the floating-point operations of one call.

    Args:
        run: function to call

    Returns:
        Those of matrix products and convolutions; element-wise operations are not counted.

    >>> from codec.model.products import Linear
    >>> layer, x = Linear(8, 16), torch.zeros(4, 8)
    >>> count_flops(lambda: layer(x))
    1024.0
    """
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops())
