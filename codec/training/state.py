"""The state of a training that its data, its training step and its callbacks share."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_STORED = ("step", "validated", "first_loss", "skipped_in_a_row")
_ADDED = {"quantized_from": 0, "rollbacks": 0, "starts_from_model": False}
"""Values that checkpoints of earlier versions do not have, and what they stand for there."""


@dataclass
class TrainingState:
    """Progress of a training.

    The training step and the callbacks update it; the training data and the schedule of the learning rate follow it.
    """

    step: int = 0
    """Finished training steps. (Lightning's ``global_step`` counts the steps of every optimiser.)"""
    validate_every: int = 1000
    """Steps between validations."""
    time_share: float = 0.0
    """Share of the recipe's ``train.max_minutes`` that is used up; 0 without a limit."""
    validated: int | None = None
    """Step of the last validation."""
    validation_loss: float = math.nan
    """Weighted sum of all loss terms at the last validation."""
    codebook_usage: list[float] = field(default_factory=list)
    """Share of the entries of each codebook that occurred in the last validation, of those that could occur."""
    quantized_from: int | None = None
    """Step at which the phase without quantizer ended, 0 without such a phase; None during it. Once it has ended it
    does not return, even if the run is resumed with more steps."""
    first_loss: float | None = None
    """Loss of the first step; None again when a resumed run has other losses."""
    rollbacks: int = 0
    """How often the run has gone back to its best validation because it diverged."""
    starts_from_model: bool = False
    """The run starts from another model, which is validated as step 0, so that later steps are compared with it."""
    skipped_in_a_row: int = 0
    """Number of steps up to now that changed nothing because their gradient was not finite."""

    def validation_is_next(self, run_is_over: bool) -> bool:
        """Decide whether a validation follows the steps done so far.

        Args:
            run_is_over: no further training step follows

        Returns:
            True if a validation is due at this step and has not been done.

        >>> TrainingState(step=8, validate_every=4).validation_is_next(False)
        True
        >>> TrainingState(step=8, validate_every=4, validated=8).validation_is_next(False)
        False
        >>> TrainingState().validation_is_next(False), TrainingState(starts_from_model=True).validation_is_next(False)
        (False, True)
        """
        due = run_is_over or self.step % self.validate_every == 0
        return (self.step > 0 or self.starts_from_model) and self.validated != self.step and due

    def to_checkpoint(self) -> dict[str, Any]:
        """Return the values that a checkpoint stores.

        Returns:
            Plain values by their names in the checkpoint.
        """
        return {name: getattr(self, name) for name in (*_STORED, *_ADDED, "validate_every")}

    def restore(self, checkpoint: Mapping[str, Any]) -> None:
        """Restore the values of a checkpoint, except for ``validate_every``, which is a setting.

        Args:
            checkpoint: a mapping that holds the values of :meth:`to_checkpoint`
        """
        for name in _STORED:
            setattr(self, name, checkpoint[name])
        for name, value in _ADDED.items():
            setattr(self, name, checkpoint.get(name, value))
