"""Matrix products in float32, by the library that is fastest on the processor at hand.

PyTorch computes products on a CPU with Intel's MKL, which on processors of other makers takes instructions of 256 bits
(AVX2) even where there are those of 512 (AVX-512). oneDNN, which comes with PyTorch, takes what the processor has, and
is twice as fast there (``python -m eval.benchmarks.products``). PyTorch's compiler calls it by the same operator.
"""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute a linear layer, like :func:`torch.nn.functional.linear`.

    Args:
        x: ``[..., inputs]``
        weight: ``[outputs, inputs]``
        bias: ``[outputs]``

    Returns:
        ``[..., outputs]``. Rounding may differ from that of :func:`torch.nn.functional.linear`.
    """
    if not _by_onednn(x, weight):
        return F.linear(x, weight, bias)
    if torch.is_grad_enabled() and any(part is not None and part.requires_grad for part in (x, weight, bias)):
        product: Tensor = _Linear.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return product
    return _onednn(x, weight, bias)


class Linear(nn.Linear):
    """A linear layer that computes with :func:`linear`."""

    def forward(self, input: Tensor) -> Tensor:
        """Compute the layer.

        Args:
            input: ``[..., inputs]``

        Returns:
            ``[..., outputs]``.
        """
        return linear(input, self.weight, self.bias)


@cache
def onednn_is_faster() -> bool:
    """Determine whether this process computes products in float32 on the CPU with oneDNN.

    Returns:
        True with AVX-512 on a processor of AMD, unless ``ATEN_CPU_CAPABILITY`` limits PyTorch to less.
    """
    has_both = torch.backends.mkldnn.is_available() and torch.backends.mkl.is_available()
    return has_both and "AVX512" in torch.backends.cpu.get_cpu_capability() and _is_from_amd()


def _is_from_amd() -> bool:
    try:
        described = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        import platform  # not at module level: needed on systems other than Linux only

        described = platform.processor()
    return "AuthenticAMD" in described


def _by_onednn(x: Tensor, weight: Tensor) -> bool:
    return (
        x.device.type == weight.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() > 0
        and onednn_is_faster()
        and bool(torch.backends.mkldnn.enabled)
        and not torch.compiler.is_compiling()  # nor exporting
        and not torch.is_autocast_enabled("cpu")
    )


def _onednn(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    product: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")
    return product


class _Linear(torch.autograd.Function):
    """The operator has no gradient of its own."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        context.save_for_backward(x, weight)
        return _onednn(x, weight, bias)

    @staticmethod
    @once_differentiable  # type: ignore[misc]
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, weight = context.saved_tensors
        rows = gradient.reshape(-1, gradient.shape[-1])
        of_x, of_weight, of_bias = context.needs_input_grad
        return (
            _onednn(gradient, weight.T) if of_x else None,
            _onednn(rows.T, x.reshape(-1, x.shape[-1]).T) if of_weight else None,
            rows.sum(0) if of_bias else None,
        )
