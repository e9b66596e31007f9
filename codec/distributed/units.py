"""Units of work: groups of items that a process computes at once, and what becomes of those whose process dies."""

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

Unit = Sequence[Any]
"""Items that are computed by one process, one after the other, and reported together. Items can be hashed."""

MAX_DEATHS = 3
"""An item is given up when this number of processes have died while they computed it."""


@dataclass(frozen=True)
class Lost:
    """A unit, or an item, without a result."""

    reason: str
    """What became of its process, as a clause."""
    began: bool = True
    """Whether the process may have begun with it."""


class UnitPool(ABC):
    """Processes that compute units, each of which calls a function once that was sent to it."""

    @abstractmethod
    def run(self, units: Sequence[Unit]) -> Generator[tuple[int, list[Any] | Lost], None, None]:
        """Compute units.

        Args:
            units: the units; each goes to the next process that is free

        Yields:
            The index of each unit with the results of its items, or with :class:`Lost` if its process died; each index
            once, as they end.

        Raises:
            UserError: no process can be started, or nothing can be submitted.
            Exception: any error of the function that computes a unit.
        """


def run_units(pool: UnitPool, units: Sequence[Unit]) -> Generator[tuple[Any, Any], None, None]:
    """Compute units, and compute those again whose process died.

    A unit that was lost is computed item by item from then on, so that an item that kills its process costs only
    itself. Units are lost for good reasons as well, such as the end of a machine; so an item is given up only after
    :data:`MAX_DEATHS` losses.

    Args:
        pool: processes
        units: the units; no item occurs twice

    Yields:
        Each item once, with its result, or with :class:`Lost` if it was given up.
    """
    deaths: Counter[Any] = Counter()
    waiting = deque(units)
    while waiting:
        current = list(waiting)
        waiting.clear()
        with closing(pool.run(current)) as ended:
            for index, results in ended:
                unit = current[index]
                if not isinstance(results, Lost):
                    yield from zip(unit, results, strict=True)
                    continue
                if not results.began:
                    waiting.append(unit)
                    continue
                for item in unit:
                    deaths[item] += 1
                    if deaths[item] < MAX_DEATHS:
                        waiting.append([item])
                    else:
                        yield item, results
