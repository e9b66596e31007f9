"""Training steps that a GPU repeats by itself: recorded as CUDA graphs, and launched as a whole.

A small model is bound by the launches of its kernels, of which a step has thousands: a graph has one. Each kind of step
is recorded after a few ordinary ones. Steps that are recorded in full for the log are rare, and are computed as usual.

Source: V. Nguyen et al., "Accelerating PyTorch with CUDA graphs", 2021.
"""

from collections import Counter
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from codec.training.step import StepInputs, StepKind, StepResult, TrainingStep

ORDINARY_STEPS = 3
"""Steps of a kind before it is recorded, in which libraries make their plans and choose their algorithms."""


@dataclass(frozen=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    result: StepResult
    values: Tensor
    """All scalars of the result in one tensor, which the next launch overwrites."""

    def launch(self) -> StepResult:
        self.graph.replay()
        return unpack_result(self.values.clone(), self.result)


class GraphedSteps:
    """Computes steps like a :class:`codec.training.step.TrainingStep`, from recordings.

    Args:
        step: the computation. Its optimisers have learning rates that are tensors, and are capturable.
    """

    def __init__(self, step: TrainingStep):
        self._step = step
        self._seen: Counter[StepKind] = Counter()
        self._recordings: dict[StepKind, _Recording] = {}
        self._inputs: StepInputs | None = None
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, inputs: StepInputs, kind: StepKind) -> StepResult:
        """Run a step.

        Args:
            inputs: its tensors
            kind: what it computes

        Returns:
            Values for the log.
        """
        kind = replace(kind, mel_scales=tuple(sorted(kind.mel_scales)))
        own = self._own_inputs(inputs)
        if kind.log_all or own is None:
            return self._step(inputs, kind)
        self._seen[kind] += 1
        if self._seen[kind] <= ORDINARY_STEPS:
            return self._run_aside(own, kind)
        if kind not in self._recordings:
            self._recordings[kind] = self._record(own, kind)
        return self._recordings[kind].launch()

    def _own_inputs(self, inputs: StepInputs) -> StepInputs | None:
        """Copy the inputs to where recordings read them; None if their shapes differ from those recorded."""
        if self._inputs is None:
            self._inputs = StepInputs(**{name: value.clone() for name, value in vars(inputs).items()})
        mine, given = list(vars(self._inputs).values()), list(vars(inputs).values())
        if any(one.shape != other.shape for one, other in zip(mine, given)):
            return None
        torch._foreach_copy_(mine, given)
        return self._inputs

    def _run_aside(self, inputs: StepInputs, kind: StepKind) -> StepResult:
        """Run a step on a stream of its own, as is required before a recording."""
        current, aside = torch.cuda.current_stream(), torch.cuda.Stream()
        aside.wait_stream(current)
        with torch.cuda.stream(aside):
            result = self._step(inputs, kind)
        current.wait_stream(aside)
        return result

    def _record(self, inputs: StepInputs, kind: StepKind) -> _Recording:
        graph = torch.cuda.CUDAGraph()
        # threads that load data may use the GPU at the same time
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            result = self._step(inputs, kind)
            values = pack_result(result)
        return _Recording(graph, result, values)


def pack_result(result: StepResult) -> Tensor:
    """Put all scalars of a result into one tensor.

    Args:
        result: values of a step

    Returns:
        ``[values]``, in float32.
    """
    scalars = [result.metric_total, result.finite, *result.terms.values(), *result.statistics.values()]
    return torch.stack([value.detach().float() for value in scalars])


def unpack_result(values: Tensor, like: StepResult) -> StepResult:
    """Restore a result from one tensor.

    Args:
        values: what :func:`pack_result` returned
        like: a result with the same names

    Returns:
        The result.
    """
    metric_total, finite, *others = values.unbind()
    scalars = iter(others)
    terms, statistics = ({name: next(scalars) for name in names} for names in (like.terms, like.statistics))
    return StepResult(metric_total, terms, finite.bool(), statistics)
