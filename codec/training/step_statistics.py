"""Statistics of every training step that are logged at intervals: gradients, discriminator, restarts."""

import math
import statistics
from collections.abc import Callable

from torch import Tensor

from codec.model.processes import ONE_PROCESS, Processes
from codec.training.host_copy import HostCopy

_Values = dict[str, list[Tensor | float]]


class StepStatistics:
    """Values of the steps since they were last logged.

    They remain tensors, so that no step has to wait for the device. Values that are not finite are left out.

    Args:
        processes: those that train together, which add values of the same names; their means are logged
    """

    def __init__(self, processes: Processes = ONE_PROCESS) -> None:
        self._processes = processes
        self._values: _Values = {}

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, **values: Tensor | float) -> None:
        """Add values of one step.

        Args:
            **values: scalars by name
        """
        for name, value in values.items():
            self._values.setdefault(name, []).append(value)

    def take(self) -> tuple[HostCopy, Callable[[list[float]], dict[str, float]]]:
        """Discard the values since the last call.

        Returns:
            The values on their way to the host, and what summarises them when they have arrived: the mean of each
            value. For gradient norms, where a single large one would dominate a mean, the median and, as ``NAME_max``,
            the largest.
        """
        taken, self._values = self._values, {}
        return self._copy(taken), lambda arrived: _summarise(_finite(taken, arrived))

    def state_dict(self) -> dict[str, list[float]]:
        """Return the values as plain numbers, for a checkpoint.

        Returns:
            Lists of values by name.
        """
        return _finite(self._values, self._copy(self._values).read())

    def _copy(self, values: _Values) -> HostCopy:
        return HostCopy(self._processes.mean(_tensors(values)))

    def load_state_dict(self, state: dict[str, list[float]]) -> None:
        """Replace the values by those of a checkpoint.

        Args:
            state: as :meth:`state_dict` returns it
        """
        self._values = {name: [*values] for name, values in state.items()}


def _tensors(values: _Values) -> list[Tensor]:
    return [value for several in values.values() for value in several if isinstance(value, Tensor)]


def _finite(values: _Values, arrived: list[float]) -> dict[str, list[float]]:
    """Return numbers, with those that have arrived for the tensors."""
    read = iter(arrived)
    numbers = {
        name: [next(read) if isinstance(value, Tensor) else value for value in several]
        for name, several in values.items()
    }
    return {name: [number for number in several if math.isfinite(number)] for name, several in numbers.items()}


def _summarise(values: dict[str, list[float]]) -> dict[str, float]:
    summary: dict[str, float] = {}
    for name, numbers in values.items():
        if not numbers:
            continue
        if name.endswith("grad_norm"):
            summary |= {name: statistics.median(numbers), f"{name}_max": max(numbers)}
        else:
            summary[name] = statistics.fmean(numbers)
    return summary
