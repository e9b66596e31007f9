"""What happens in every step and is told now and then: gradients, the discriminator's judgement, restarted codes."""

import statistics

from torch import Tensor


class StepStatistics:
    """Values of the steps since the last telling. They wait as tensors, so that no step waits for the device."""

    def __init__(self) -> None:
        self.values: dict[str, list[Tensor | float]] = {}

    def add(self, **values: Tensor | float) -> None:
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)

    def take(self) -> dict[str, float]:
        """The mean of each since the last call; of gradient norms, in which a spike would hide the rest, the median
        and, as ``NAME_max``, the largest."""
        told: dict[str, float] = {}
        for name, values in self.state().items():
            if name.endswith("grad_norm"):
                told |= {name: statistics.median(values), f"{name}_max": max(values)}
            else:
                told[name] = statistics.fmean(values)
        self.values = {}
        return told

    def state(self) -> dict[str, list[float]]:
        return {name: [float(value) for value in values] for name, values in self.values.items()}

    def go_on_from(self, state: dict[str, list[float]]) -> None:
        self.values = {name: [*values] for name, values in state.items()}
