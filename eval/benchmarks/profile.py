"""Profile of computing time: shares of operations, multiply-adds, and the machine's rate of matrix products."""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.profiler import ProfilerActivity, profile

from codec.model.products import linear
from eval.systems.flops import count_flops

LINEAR_ROWS, LINEAR_INPUTS, LINEAR_OUTPUTS = 256, 384, 1152
"""Shape of the linear layer that measures the machine: it is of the size of the codec's own layers."""


@dataclass(frozen=True)
class Operation:
    """A PyTorch operation in a profile."""

    name: str
    share: float
    """Share of the total time, without the operations that it called."""
    calls: int


def profile_operations(run: Callable[[], object], most: int = 8) -> list[Operation]:
    """Profile one call, after one that is not profiled.

    Args:
        run: function to profile.
        most: maximum number of operations to return.

    Returns:
        The operations that take longest, longest first.
    """
    run()
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # otherwise it prints that it starts and stops
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        run()
    events = sorted(recorded.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events) or 1.0
    return [
        Operation(event.key.removeprefix("aten::"), event.self_cpu_time_total / total, event.count)
        for event in events[:most]
    ]


def count_multiply_adds(run: Callable[[], object]) -> int:
    """Count the multiply-adds of one call.

    Args:
        run: function to call.

    Returns:
        Those of matrix products and convolutions; element-wise operations are not counted.

    >>> import torch
    >>> layer, x = torch.nn.Linear(8, 16), torch.zeros(4, 8)
    >>> count_multiply_adds(lambda: layer(x))
    512
    """
    return int(count_flops(run) // 2)


@torch.inference_mode()
def measure_matrix_rate(rounds: int = 15) -> float:
    """Measure the speed of a linear layer in float32 of the codec's size, at PyTorch's present number of threads.

    Args:
        rounds: number of measurements; their median counts.

    Returns:
        Multiply-adds per second.
    """
    x, weight = torch.randn(LINEAR_ROWS, LINEAR_INPUTS), torch.randn(LINEAR_OUTPUTS, LINEAR_INPUTS)
    bias, times = torch.randn(LINEAR_OUTPUTS), []
    for _ in range(rounds + 3):
        started = time.perf_counter()
        for _ in range(4):
            linear(x, weight, bias)
        times.append((time.perf_counter() - started) / 4)
    return LINEAR_ROWS * LINEAR_INPUTS * LINEAR_OUTPUTS / statistics.median(times[3:])
