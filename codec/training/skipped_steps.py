"""Steps that changed nothing because their gradient was not finite, known to the device first."""

from torch import Tensor

from codec.training.host_copy import HostCopy
from codec.training.state import TrainingState


class SkippedSteps:
    """Collects on the device which steps were skipped, until they are read.

    Args:
        state: progress of the training, whose ``skipped_in_a_row`` follows with each reading
    """

    def __init__(self, state: TrainingState):
        self._state = state
        self._unread: list[tuple[int, Tensor]] = []
        self._unreported: list[int] = []

    def add(self, step: int, finite: Tensor) -> None:
        """Note a step.

        Args:
            step: number of the step
            finite: whether it was not skipped (scalar)
        """
        self._unread.append((step, finite))

    def read(self) -> None:
        """Read the steps since the last reading; waits for the device to finish them."""
        for (step, _), finite in zip(self._unread, HostCopy([finite for _, finite in self._unread]).read()):
            self._state.skipped_in_a_row = 0 if finite else self._state.skipped_in_a_row + 1
            if not finite:
                self._unreported.append(step)
        self._unread = []

    def take_unreported(self) -> list[int]:
        """Return the skipped steps that were read and not returned yet.

        Returns:
            Their numbers.
        """
        taken, self._unreported = self._unreported, []
        return taken
