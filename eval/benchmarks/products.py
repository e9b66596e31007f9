"""``python -m eval.benchmarks.products``: ways to compute a decoder's products, side by side.

They take turns, so that other load affects them all. With one row, as in a stream of single frames, the time is that of
reading the weights from memory and of the calls; with 256 rows, as in files, that of the arithmetic. The instruction
sets of the libraries are limited by ``ATEN_CPU_CAPABILITY=avx2``, ``ONEDNN_MAX_CPU_ISA=AVX2`` and
``MKL_ENABLE_INSTRUCTIONS=AVX2`` together; the first two do not limit products in float32, which are MKL's.
"""

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from codec.runtime.torch_threads import torch_threads
from eval.pages.text_table import Table

SIZES = ((384, 1152), (1152, 384))
"""Inputs and outputs of the two products of a block of ``speech_16k``."""

BLOCKS = 4
LIMITS = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")

Product = Callable[[Tensor], Tensor]
Way = Callable[[Tensor, Tensor], Product]
"""Prepares a product from weights ``[outputs, inputs]`` and biases ``[outputs]``."""


def _float32(weight: Tensor, bias: Tensor) -> Product:
    return lambda x: torch.addmm(bias[None], x, weight.T)


def _float32_onednn(weight: Tensor, bias: Tensor) -> Product:
    return lambda x: torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")


def _half_matrix(dtype: torch.dtype) -> Way:
    def prepare(weight: Tensor, bias: Tensor) -> Product:
        matrix, offset = weight.to(dtype), bias.to(dtype)
        return lambda x: torch.nn.functional.linear(x.to(dtype), matrix, offset).float()

    return prepare


def _float16_weights(weight: Tensor, bias: Tensor) -> Product:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        packed = torch.fbgemm_pack_gemm_matrix_fp16(weight)
        torch.fbgemm_linear_fp16_weight_fp32_activation(weight[:1], packed, bias)
    return lambda x: torch.fbgemm_linear_fp16_weight_fp32_activation(x, packed, bias)


def _int8_weights(weight: Tensor, bias: Tensor) -> Product:
    steps = weight.abs().amax(1) / 127
    levels = (weight / steps[:, None]).round().to(torch.int8)
    scales = steps.bfloat16()
    return lambda x: torch._weight_int8pack_mm(x.bfloat16(), levels, scales).float() + bias


def _int8_dynamic(weight: Tensor, bias: Tensor) -> Product:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        steps = (weight.abs().amax(1) / 127).double()
        levels = torch.quantize_per_channel(weight, steps, torch.zeros(len(weight), dtype=torch.int64), 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(levels, bias)
    return lambda x: torch.ops.quantized.linear_dynamic.default(x, packed)


def _int8_static(weight: Tensor, bias: Tensor) -> Product:
    steps = weight.abs().amax(1) / 63
    packed = torch.ops.onednn.qlinear_prepack((weight / steps[:, None]).round().to(torch.int8), None)
    none = torch.zeros(len(weight), dtype=torch.int32)

    def compute(x: Tensor) -> Tensor:
        levels = (x * 20 + 128.5).clamp_(0, 255).to(torch.uint8)
        result: Tensor = torch.ops.onednn.qlinear_pointwise.default(
            levels, 1 / 20, 128, packed, steps, none, bias, 1.0, 0, torch.float32, "none", [], "none"
        )
        return result

    return compute


WAYS: dict[str, Way] = {
    "float32": _float32,
    "float32 (oneDNN)": _float32_onednn,
    "weights in float16, sums in float32 (FBGEMM)": _float16_weights,
    "float16": _half_matrix(torch.float16),
    "bfloat16": _half_matrix(torch.bfloat16),
    "weights in int8, activations in bfloat16": _int8_weights,
    "int8, a scale for each call (FBGEMM)": _int8_dynamic,
    "int8, fixed scales (oneDNN), as --dtype int8": _int8_static,
}


def time_products(rows: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Time all products of a decoder's blocks in each way.

    Args:
        rows: frames that are computed at once.
        rounds: how often all ways are timed, in turn.

    Returns:
        The medians of the processor times of one thread in ms, and of the speeds relative to float32 in the same round.
    """
    generator = torch.Generator().manual_seed(0)
    layers = [
        (0.05 * torch.randn(outputs, inputs, generator=generator), torch.randn(outputs, generator=generator))
        for _ in range(BLOCKS)
        for inputs, outputs in SIZES
    ]
    inputs = [torch.randn(rows, weight.shape[1], generator=generator) for weight, _ in layers]
    products = {name: [prepare(weight, bias) for weight, bias in layers] for name, prepare in WAYS.items()}
    times: dict[str, list[float]] = {name: [] for name in products}
    with torch_threads(1), torch.inference_mode():
        for _ in range(rounds + 1):
            for name, ways in products.items():
                started = time.thread_time()
                for compute, x in zip(ways, inputs):
                    compute(x)
                times[name].append(1000 * (time.thread_time() - started))
    counted = {name: values[1:] for name, values in times.items()}  # the first round fills caches
    reference = counted["float32"]
    return {
        name: (
            statistics.median(values),
            statistics.median(first / own for first, own in zip(reference, values)),
        )
        for name, values in counted.items()
    }


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Time ways to compute the products of a decoder's blocks.")
    parser.add_argument("--rounds", type=int, default=100, help="default: %(default)s; a tenth of it with 256 rows")
    arguments = parser.parse_args()
    rounds = arguments.rounds
    found = time_products(1, rounds), time_products(256, max(1, rounds // 10))
    limits = ", ".join(f"{name}={os.environ[name]}" for name in LIMITS if name in os.environ)
    header = ["products", "1 frame, ms", "speed, x float32", "256 frames, ms", "speed, x float32"]
    rows = [[name, *(f"{figure:.2f}" for one in found for figure in one[name])] for name in WAYS]
    print(f"{limits or 'all instruction sets'}\n")
    print(Table("Products of a decoder's blocks", "", header, rows).markdown())


if __name__ == "__main__":
    main()
