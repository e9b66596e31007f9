"""Clusters: processes on many machines that compute units of work. What Ray and SLURM have in common.

All machines share the folders of the inputs and outputs, under the same paths, and have the same versions of the
packages that decide about results.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from codec.distributed.units import Lost, Unit, UnitPool, run_units
from codec.errors import UserError
from codec.runtime.process_pool import Items, PoolOptions
from codec.runtime.progress import ProgressBar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

UnitFunction = Callable[[Sequence[Any]], list[Any]]
"""Computes a unit: one result for each item."""
OnLoss = Callable[[Unit, str], None]
"""Called with a unit whose process has died, and :func:`codec.runtime.atomic_files.writer_name` of that process."""

MAX_UNIT = 64
"""Maximum number of items in a unit."""
MIN_UNITS = 64
"""Minimum number of units if there are as many items: more than a cluster has processes, or is likely to have."""


@dataclass(frozen=True)
class Resources:
    """What each process of a cluster computes with."""

    workers: int | None = None
    """Number of processes; None: as many as there is room for."""
    threads: int = 1
    """CPU cores, each with one thread, per process."""
    gpus: float = 0.0
    """GPUs per process; a part of one is shared."""
    device: str = "cpu"
    """Device of the models."""


DEFAULT_RESOURCES = Resources()


class Cluster(ABC):
    """A cluster, not connected to yet. It can be given where a number of processes on this machine can."""

    resources: Resources

    @abstractmethod
    def open(self, start: Callable[[], UnitFunction], on_loss: OnLoss) -> AbstractContextManager[UnitPool]:
        """Connect to the cluster for the time of a block.

        Args:
            start: called once in each process, such as to load a model, and returns the function that computes a unit;
                it is pickled
            on_loss: called after a process has died, or was ended before it had finished its unit

        Returns:
            A context manager that ends all processes at the end of its block.

        Raises:
            UserError: the package of this cluster is missing, the cluster cannot be reached, its folder cannot be
                written to, or ``start`` fails.
        """

    def run(
        self, start: Callable[[], UnitFunction], units: Sequence[Unit], on_loss: OnLoss
    ) -> Generator[tuple[Any, Any], None, None]:
        """Compute units; those whose process dies are computed again, see :func:`codec.distributed.units.run_units`.

        Args:
            start: as for :meth:`open`
            units: the units, computed roughly in this order
            on_loss: as for :meth:`open`

        Yields:
            Each item and its result, or :class:`~codec.distributed.units.Lost`, as units end.

        Raises:
            UserError: the cluster cannot be used.
            Exception: any error that the function raises.
        """
        if not units:
            return
        with self.open(start, on_loss) as pool, closing(run_units(pool, units)) as ended:
            yield from ended

    def map(
        self, function: Callable[[_Item], _Result], items: Items[_Item], options: PoolOptions
    ) -> Generator[_Result, None, None]:
        """Compute ``function(item)`` of every item, like :func:`codec.runtime.process_pool.map_in_processes`.

        Args:
            function: function to compute; it is pickled
            items: arguments of the calls
            options: initializer, largest number of items in a unit, and progress bar

        Yields:
            The results in the order of the items.

        Raises:
            UserError: the process of an item died each time.
            Exception: any error that ``function`` raises.
        """
        size = min(options.max_chunk, unit_size(len(items)))
        numbered = [_Numbered(number, item) for number, item in enumerate(items)]
        units = [numbered[first : first + size] for first in range(0, len(items), size)]
        start = partial(_start_map, function, options.initializer)
        hidden = not units or not options.description
        waiting: dict[int, _Result] = {}
        yielded = 0
        with (
            ProgressBar(total=len(items), desc=options.description, unit=options.unit, disable=hidden) as bar,
            closing(self.run(start, units, lambda unit, writer: None)) as ended,
        ):
            for item, result in ended:
                if isinstance(result, Lost):
                    raise UserError(f"{result.reason}; {options.advice}")
                waiting[item.number] = result
                bar.update()
                while yielded in waiting:
                    yield waiting.pop(yielded)
                    yielded += 1


def unit_size(items: int) -> int:
    """Choose the number of items per unit. It does not depend on the number of processes.

    Args:
        items: number of items in all

    Returns:
        At most :data:`MAX_UNIT`, and a power of two that leaves at least :data:`MIN_UNITS` units, so that a few more
        items change few units.

    >>> unit_size(10), unit_size(300), unit_size(1_000_000)
    (1, 4, 64)
    """
    size = 1
    while size < MAX_UNIT and 2 * size * MIN_UNITS <= items:
        size *= 2
    return size


@dataclass(frozen=True)
class _Numbered:
    """An item of :meth:`Cluster.map`, known by its number."""

    number: int
    item: Any = field(compare=False)


def _start_map(function: Callable[[Any], Any], initializer: Callable[[], object] | None) -> UnitFunction:
    if initializer is not None:
        initializer()
    return partial(_map_unit, function)


def _map_unit(function: Callable[[Any], Any], unit: Sequence[_Numbered]) -> list[Any]:
    return [function(numbered.item) for numbered in unit]
