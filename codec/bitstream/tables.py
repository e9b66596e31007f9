"""Integer tables of the range coder: frequencies of codes, and the scores that choose between them by context.

Each codebook has one table of frequencies for each of several context classes. The class of a code is chosen by context
features: neighbouring codes, and the number of codes in neighbouring frames. Each feature adds a score to every class,
and the class with the highest sum wins, the first of several equal ones. All of it is integers, so that encoder and
decoder agree on every machine. With one class there are no scores (order 0).

docs/bitstream.md ("Payload") specifies the use of the tables.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

PRECISION = 24
"""The frequencies of a table add up to ``2**PRECISION``."""

CODE_FEATURES = 4
"""Neighbouring codes that score the context classes. For the first codebook: its codes in the two frames before (two
features are unused). For the others: the first codebook's codes in the frame before, the same frame and the frame
after, and the code of the codebook before in the same frame."""

COUNT_FEATURES = 4
"""Numbers of codes that score the context classes: of the frame before, the same frame and the frame after, and the
mean over the packet."""

UNKNOWN_COUNT = -1
"""Value of an unknown number of codes. As an index it selects the last row of a table."""


@dataclass(frozen=True)
class CodeTables:
    """Tables of one model, in the layout of its ``model.safetensors``.

    Raises:
        ValueError: The frequencies of a table are not all at least 1, or do not add up to ``2**PRECISION``.
    """

    frequencies: npt.NDArray[np.int32]
    """Frequencies of codes ``[codebooks, classes, size]``; each at least 1."""
    shares: npt.NDArray[np.int32] | None = None
    """Frequencies of the context classes ``[codebooks, classes]``; none with one class, like all below."""
    code_scores: npt.NDArray[np.int8] | None = None
    """``[codebooks, CODE_FEATURES, size + 1, classes]``; the last row is for an absent code."""
    count_scores: npt.NDArray[np.int8] | None = None
    """``[codebooks, COUNT_FEATURES, codebooks + 2, classes]``; the last row is for an unknown number."""
    count_frequencies: npt.NDArray[np.int32] | None = None
    """Frequencies of the number of codes in a frame given that of the frame before ``[codebooks + 2, codebooks + 1]``;
    the last row is for the first frame of a packet."""

    def __post_init__(self) -> None:
        for table in (self.frequencies, self.shares, self.count_frequencies):
            if table is not None and (table.min() < 1 or (table.sum(-1, dtype=np.int64) != 1 << PRECISION).any()):
                raise ValueError(f"the frequencies of a table must be at least 1 and add up to 2^{PRECISION}")

    @classmethod
    def from_stored(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> "CodeTables":
        """Take the tables from the arrays of a model.

        Args:
            arrays: the arrays by the names that they have in ``model.safetensors`` after ``tables.``

        Returns:
            The tables.

        Raises:
            ValueError: The frequencies of a table are not all at least 1, or do not add up to ``2**PRECISION``.
        """
        frequencies = arrays["frequencies"]
        return cls(
            frequencies=frequencies if frequencies.ndim == 3 else frequencies[:, None],
            shares=arrays.get("shares"),
            code_scores=arrays.get("votes"),
            count_scores=arrays.get("count_votes"),
            count_frequencies=arrays.get("counts"),
        )

    @property
    def codebooks(self) -> int:
        """Number of codebooks."""
        return self.frequencies.shape[0]

    @property
    def classes(self) -> int:
        """Number of context classes of each codebook."""
        return self.frequencies.shape[1]

    @property
    def size(self) -> int:
        """Number of values of a code."""
        return self.frequencies.shape[2]
