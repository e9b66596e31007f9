"""Where the time goes: shares of operations, multiply-adds, and the machine's own matrix-multiply rate."""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

ROWS, INPUTS, OUTPUTS = 256, 384, 1152
"""The linear layer whose rate stands for the machine's."""


@dataclass(frozen=True)
class Operation:
    name: str
    share: float
    """Of the time, what it called not counted."""
    calls: int


def operations(run: Callable[[], object], most: int = 8) -> list[Operation]:
    """The operations of ``run`` that take longest."""
    run()
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it would tell the screen that it starts and stops
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        run()
    events = sorted(recorded.key_averages(), key=lambda event: -event.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events) or 1.0
    return [
        Operation(event.key.removeprefix("aten::"), event.self_cpu_time_total / total, event.count)
        for event in events[:most]
    ]


def multiply_adds(run: Callable[[], object]) -> int:
    """Those of matrix products and convolutions; what is done element by element is not counted."""
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops() // 2)


@torch.inference_mode()
def matrix_rate(rounds: int = 15) -> float:
    """Multiply-adds per second of a linear layer in float32, at torch's present number of threads."""
    x, weight, bias = torch.randn(ROWS, INPUTS), torch.randn(OUTPUTS, INPUTS), torch.randn(OUTPUTS)
    times = []
    for _ in range(rounds + 3):
        started = time.perf_counter()
        for _ in range(4):
            F.linear(x, weight, bias)
        times.append((time.perf_counter() - started) / 4)
    return ROWS * INPUTS * OUTPUTS / statistics.median(times[3:])
