"""The sealed test split: every opening is recorded in the ledger before any sample can be read.

Models named in one call share one opening of the test split. Any later opening for other models has to be requested
explicitly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codec.dataset.ledger import LedgerEntry, Purpose, open_ledger
from codec.dataset.packed import _open_any_split
from codec.dataset.packed_split import PackedSplit


@dataclass(frozen=True)
class OpenedTest:
    """The test clips, and the record of this opening."""

    split: PackedSplit
    opening: LedgerEntry
    """The line in the ledger about this opening."""
    before: list[LedgerEntry]
    """Earlier openings, oldest first."""


def open_sealed_test(
    data: Path,
    sample_rate: int,
    channels: int,
    *,
    run: str,
    weights: Sequence[str],
    purpose: Purpose,
    again: bool = False,
) -> OpenedTest:
    """Open the test split, after recording the opening in the ledger.

    Args:
        data: the folder that ``codec prepare`` wrote
        sample_rate: in Hz
        channels: number of channels
        run: name of the run or model that is evaluated
        weights: checksums of all models that are evaluated
        purpose: reason for the opening
        again: open it for models other than those that it was opened for before

    Returns:
        The test clips with the record of this opening.

    Raises:
        SealedError: it was opened before, not for all of these weights, and ``again`` is False.
        UserError: as :func:`codec.dataset.packed.open_split`, or the ledger cannot be read or written.
    """
    split = _open_any_split(data, "test", sample_rate, channels)
    return OpenedTest(split, *open_ledger(Path(data), run=run, weights=weights, purpose=purpose, again=again))
