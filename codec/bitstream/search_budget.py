"""Limit on the search behind damage, so that hostile files cost seconds at most."""

_BUDGET_BYTES = 1 << 28
_PLACE_BYTES = 256
"""Cost of trying one position, in addition to the bytes read there."""


class SearchBudget:
    """Bytes that may be searched in one file or stream."""

    def __init__(self) -> None:
        self._left = _BUDGET_BYTES

    def spend(self, size: int) -> bool:
        """Count the search at one position.

        Args:
            size: bytes read there

        Returns:
            Whether the budget still suffices; otherwise the search is to be given up.
        """
        self._left -= _PLACE_BYTES + size
        return self._left >= 0
