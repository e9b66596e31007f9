"""Where files that are coded side by side meet: their blocks are computed batched, as one batch.

Each file has a thread of its own, its lane, that runs the same code as ever. Only what computes a block, see
:mod:`codec.model.streaming`, does so :func:`batched` with the other lanes: a lane that brings a block waits until all
that are at work have brought one. Then blocks of one kind are put side by side, computed, and handed back.

By what a lane meets others is a mode of its thread, like PyTorch's inference mode; without one nothing is shared.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from codec.model.convnext import StreamState


class Splittable(Protocol):
    """What a step makes of a block: a tensor, or tensors, whose first dimension is the streams."""

    def split(self, sizes: list[int], /) -> Sequence[Any]:
        """Parts of so many streams."""


Result = TypeVar("Result", bound=Splittable)
Result_co = TypeVar("Result_co", bound=Splittable, covariant=True)


class BlockStep(Protocol[Result_co]):
    """What is computed of a block. Blocks of steps that are equal, and that have the same shape but for the number of
    streams, can be computed at once."""

    def __call__(self, block: Tensor, state: StreamState, /) -> tuple[Result_co, StreamState]: ...


class BatchingStopped(BaseException):
    """The lane is to end. Like an interrupt, it is no error that anything on the way out would handle."""


@dataclass(frozen=True, eq=False)
class _PendingBlock:
    """By a lane."""

    step: BlockStep[Any]
    block: Tensor
    state: StreamState
    result: "Future[tuple[Any, StreamState]]" = field(default_factory=Future)

    @property
    def kind(self) -> tuple[Any, ...]:
        return self.step, self.block.shape[1:], self.block.dtype


class DynamicBatcher:
    """For so many ``lanes``, each of which is to enter :meth:`lane` in its thread and to leave it when it has no more
    work; until then the others wait for it."""

    def __init__(self, lanes: int) -> None:
        self._lock = threading.Lock()
        self._at_work = lanes
        self._waiting: list[_PendingBlock] = []
        self._stopped = False

    @contextmanager
    def concurrent_file(self) -> Iterator[None]:
        """A context in which this thread computes :func:`batched` with the other lanes;
        :class:`BatchingStopped` ends it quietly."""
        _here.meeting = self
        try:
            yield
        except BatchingStopped:
            pass
        finally:
            _here.meeting = None
            with self._lock:
                self._at_work -= 1
                self._compute_if_all_wait()

    def stop(self) -> None:
        """From now on lanes are stopped where they wait or check."""
        with self._lock:
            self._stopped = True
            for brought in self._waiting:
                brought.result.set_exception(BatchingStopped())
            self._waiting.clear()

    def check(self) -> None:
        """Raises :class:`BatchingStopped` where the lanes are to end."""
        if self._stopped:
            raise BatchingStopped

    def compute(self, step: BlockStep[Result], block: Tensor, state: StreamState) -> tuple[Result, StreamState]:
        """What the step makes of the block, and its next state. An error is raised in all lanes that it concerns."""
        brought = _PendingBlock(step, block, state)
        with self._lock:
            self.check()
            self._waiting.append(brought)
            self._compute_if_all_wait()
        return brought.result.result()

    def _compute_if_all_wait(self) -> None:
        if len(self._waiting) < self._at_work:
            return
        kinds: dict[tuple[Any, ...], list[_PendingBlock]] = {}
        for brought in self._waiting:
            kinds.setdefault(brought.kind, []).append(brought)
        self._waiting.clear()
        for alike in kinds.values():
            _compute(alike)


@torch.inference_mode()
def _compute(alike: list[_PendingBlock]) -> None:
    sizes = [len(brought.block) for brought in alike]
    try:
        block = _side_by_side([brought.block for brought in alike])
        state = tuple(map(_side_by_side, zip(*(brought.state for brought in alike))))
        result, state = alike[0].step(block, state)
        parts = list(zip(result.split(sizes), zip(*(tensor.split(sizes) for tensor in state))))
    except BaseException as error:
        for brought in alike:
            brought.result.set_exception(error)
        return
    for brought, part in zip(alike, parts):
        brought.result.set_result(part)


def _side_by_side(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat(list(tensors)) if len(tensors) > 1 else tensors[0]


class _Here(threading.local):
    meeting: DynamicBatcher | None = None


_here = _Here()


def batched(step: BlockStep[Result], block: Tensor, state: StreamState) -> tuple[Result, StreamState]:
    """``step(block, state)``; in a lane, computed with the blocks of the others."""
    meeting = _here.meeting
    return step(block, state) if meeting is None else meeting.compute(step, block, state)


def is_batched() -> bool:
    """Whether blocks are computed with those of others."""
    return _here.meeting is not None
