"""Runs whose loss diverges: they end, or go back to their best validation with a lower learning rate."""

from codec.errors import UserError

ROLLBACK_LR_RATIO = 0.5
"""Factor of the learning rate for each rollback (``train.rollbacks``)."""


class Diverged(UserError):
    """The loss of a run diverged, or has not been finite for many steps.

    Args:
        reason: what happened, a clause
        advice: what to do, a clause
    """

    def __init__(self, reason: str, advice: str):
        super().__init__(f"{reason}; {advice}")
        self.reason = reason
