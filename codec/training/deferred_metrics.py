"""Records values of a training when they have arrived from the device, so that no step waits for them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from codec.training.host_copy import HostCopy
from codec.training.metrics_log import MetricsLog


@dataclass(frozen=True)
class _Pending:
    step: int
    split: str
    copy: HostCopy
    name: Callable[[list[float]], Mapping[str, float]]


class DeferredMetrics:
    """Writes to the table of a run, in order; values that are not finite are left out.

    Values on the CPU are written at once, those of an accelerator with a later call.

    Args:
        metrics: the table; None: nothing is recorded
    """

    def __init__(self, metrics: MetricsLog | None):
        self._metrics = metrics
        self._pending: list[_Pending] = []

    def write(self, step: int, split: str, terms: Mapping[str, Tensor | float]) -> None:
        """Record values of a step.

        Args:
            step: training step
            split: split that the values were measured on
            terms: scalars by name
        """
        tensors = {name: value for name, value in terms.items() if isinstance(value, Tensor)}
        numbers = {name: value for name, value in terms.items() if not isinstance(value, Tensor)}

        def name(values: list[float]) -> dict[str, float]:
            found = dict(zip(tensors, values)) | numbers
            return {term: float(found[term]) for term in terms}

        self.write_copy(step, split, HostCopy(list(tensors.values())), name)

    def write_copy(
        self, step: int, split: str, copy: HostCopy, name: Callable[[list[float]], Mapping[str, float]]
    ) -> None:
        """Record values that are on their way to the host.

        Args:
            step: training step
            split: split that the values were measured on
            copy: the values
            name: gives the values by name
        """
        self._pending.append(_Pending(step, split, copy, name))
        while self._pending and self._pending[0].copy.has_arrived:
            self._write_next()

    def flush(self) -> None:
        """Write everything; waits for the device."""
        while self._pending:
            self._write_next()

    def _write_next(self) -> None:
        first = self._pending.pop(0)
        if self._metrics is None:
            return
        values = first.name(first.copy.read())
        finite = {term: value for term, value in values.items() if math.isfinite(value)}
        self._metrics.write(first.step, first.split, finite)
