"""Statistics of every training step that are logged at intervals: gradients, discriminator, restarts."""

import statistics

from torch import Tensor


class StepStatistics:
    """Values of the steps since they were last logged.

    They remain tensors, so that no step has to wait for the device.
    """

    def __init__(self) -> None:
        self._values: dict[str, list[Tensor | float]] = {}

    def __bool__(self) -> bool:
        return bool(self._values)

    def add(self, **values: Tensor | float) -> None:
        """Add values of one step.

        Args:
            **values: scalars by name
        """
        for name, value in values.items():
            self._values.setdefault(name, []).append(value)

    def summarise(self) -> dict[str, float]:
        """Summarise the values since the last call, and discard them.

        Returns:
            The mean of each value. For gradient norms, where a single large one would dominate a mean, the median and,
            as ``NAME_max``, the largest.
        """
        summary: dict[str, float] = {}
        for name, values in self.state_dict().items():
            if name.endswith("grad_norm"):
                summary |= {name: statistics.median(values), f"{name}_max": max(values)}
            else:
                summary[name] = statistics.fmean(values)
        self._values = {}
        return summary

    def state_dict(self) -> dict[str, list[float]]:
        """Return the values as plain numbers, for a checkpoint.

        Returns:
            Lists of values by name.
        """
        return {name: [float(value) for value in values] for name, values in self._values.items()}

    def load_state_dict(self, state: dict[str, list[float]]) -> None:
        """Replace the values by those of a checkpoint.

        Args:
            state: as :meth:`state_dict` returns it
        """
        self._values = {name: [*values] for name, values in state.items()}
