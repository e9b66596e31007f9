"""Context classes of codes: which of a codebook's frequency tables a code is coded under; docs/bitstream.md.

The tables are described in :mod:`codec.bitstream.tables`.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from codec.bitstream.codes import CodeArray, IntArray
from codec.bitstream.tables import UNKNOWN_COUNT, CodeTables

ScoreArray = npt.NDArray[np.int16]
"""Sums of at most eight scores of int8."""


class ContextClasses:
    """Chooses the classes of the codes of a packet, codebook by codebook, as a decoder comes to know its context.

    The first codebook's codes are passed to :meth:`set_first` before the classes of other codebooks are asked for.

    Args:
        tables: tables of the model
        counts: numbers of codes ``[channels, frames]``
        variable: whether the numbers vary, so that they are part of the context

    Attributes:
        several: whether there is more than one class
    """

    def __init__(self, tables: CodeTables, counts: IntArray, variable: bool):
        self._shape = counts.shape
        self.several = tables.code_scores is not None and tables.count_scores is not None
        if tables.code_scores is not None and tables.count_scores is not None:
            self._code_scores, self._count_scores = tables.code_scores, tables.count_scores
            self._counts = count_features(counts) if variable else None

    def set_first(self, first: IntArray) -> None:
        """Make the first codebook's codes known.

        Args:
            first: ``[channels, frames]``
        """
        if self.several:
            self._first = [shift_frames(first, -1), first, shift_frames(first, 1)]

    def scores_of_counts(self, codebook: int) -> ScoreArray:
        """Sum the scores of the numbers of codes.

        Args:
            codebook: number of the codebook

        Returns:
            ``[channels, frames, classes]``; ``[classes]`` if the numbers do not vary.
        """
        table = self._count_scores[codebook]
        if self._counts is None:
            return table[:, UNKNOWN_COUNT].sum(0, dtype=np.int16)
        return _sum_of_rows(table, self._counts)

    def scores_after(self) -> tuple[ScoreArray, ScoreArray]:
        """Return the scores that the first codebook's codes give to the next code, and to the one after it.

        Returns:
            Two arrays ``[size + 1, classes]``; the last row is for an absent code.
        """
        return self._code_scores[0, 0].astype(np.int16), self._code_scores[0, 1].astype(np.int16)

    def first_classes(self, first: IntArray) -> CodeArray:
        """Determine the classes of the first codebook's codes from the codes themselves.

        Args:
            first: ``[channels, frames]``

        Returns:
            Classes of that shape; without meaning where a code is absent.
        """
        if not self.several:
            return np.zeros(self._shape, np.int64)
        neighbours = [shift_frames(first, -1), shift_frames(first, -2)]
        return (_sum_of_rows(self._code_scores[0], neighbours) + self.scores_of_counts(0)).argmax(-1)

    def classes(self, codebook: int, before: IntArray) -> CodeArray:
        """Determine the classes of the codes of a codebook after the first.

        Args:
            codebook: number of the codebook
            before: codes of the codebook before ``[channels, frames]``

        Returns:
            Classes of that shape; without meaning where a code is absent.
        """
        if not self.several:
            return np.zeros(self._shape, np.int64)
        scores = _sum_of_rows(self._code_scores[codebook], [*self._first, before])
        scores += self.scores_of_counts(codebook)
        return scores.argmax(-1)

    def classes_of_all(self, codes: IntArray) -> CodeArray:
        """Determine the classes of the codes of all codebooks, when all are known; the same, in fewer steps.

        Args:
            codes: ``[codebooks, channels, frames]``

        Returns:
            Classes of that shape; without meaning where a code is absent.
        """
        first = self.first_classes(codes[0])[None]
        if not self.several or len(codes) == 1:
            return first.repeat(len(codes), 0)
        self.set_first(codes[0])
        numbers = np.arange(1, len(codes))
        scores = _sum_of_rows_of_several(self._code_scores, numbers, [*self._first, codes[:-1]])
        if self._counts is None:
            scores += self._count_scores[numbers, :, UNKNOWN_COUNT].sum(1, dtype=np.int16)[:, None, None]
        else:
            scores += _sum_of_rows_of_several(self._count_scores, numbers, self._counts)
        return np.concatenate([first, scores.argmax(-1)])


def count_features(counts: IntArray) -> list[IntArray]:
    """Return the numbers of codes that are context features of each frame.

    Args:
        counts: numbers of codes of one packet ``[channels, frames]``

    Returns:
        Four arrays of that shape: the number of the frame before, of the frame itself and of the frame after, and the
        mean over the packet (in each channel, halves rounded up).

    >>> import numpy as np
    >>> [feature.tolist() for feature in count_features(np.array([[3, 1, 2]]))]
    [[[-1, 3, 1]], [[3, 1, 2]], [[1, 2, -1]], [[2, 2, 2]]]
    """
    frames = counts.shape[1]
    mean = np.where(counts == UNKNOWN_COUNT, UNKNOWN_COUNT, (2 * counts.sum(1, keepdims=True) + frames) // (2 * frames))
    return [shift_frames(counts, -1), counts, shift_frames(counts, 1), mean]


def shift_frames(values: IntArray, step: int) -> IntArray:
    """Return the value of a neighbouring frame for each frame.

    Args:
        values: ``[channels, frames]``
        step: distance of the neighbour in frames; negative for earlier ones

    Returns:
        ``values[:, t + step]`` for each frame ``t``, and -1 beyond the ends.

    >>> import numpy as np
    >>> shift_frames(np.array([[5, 6, 7]]), -1).tolist()
    [[-1, 5, 6]]
    """
    moved = np.full_like(values, -1)
    if step > 0:
        moved[:, :-step] = values[:, step:]
    elif step < 0:
        moved[:, -step:] = values[:, :step]
    else:
        moved[:] = values
    return moved


def _sum_of_rows(tables: npt.NDArray[np.int8], rows: list[IntArray]) -> ScoreArray:
    """Sum one row of each table ``[tables, rows, classes]``: ``[*shape of an array of rows, classes]``."""
    total = tables[0].take(rows[0], 0).astype(np.int16)
    for table, numbers in zip(tables[1:], rows[1:]):
        total += table.take(numbers, 0)
    return total


def _sum_of_rows_of_several(tables: npt.NDArray[np.int8], codebooks: CodeArray, rows: Sequence[IntArray]) -> ScoreArray:
    """Sum one row of each table of several codebooks, of all tables ``[codebooks, tables, rows, classes]``.

    Numbers of rows are ``[channels, frames]``, the same for all the codebooks, or ``[codebooks, channels, frames]``;
    the result is ``[codebooks, channels, frames, classes]``.
    """
    _, features, count, _ = tables.shape
    flat = tables.reshape(-1, tables.shape[-1])
    first = (codebooks * (features * count))[:, None, None]
    total: ScoreArray | None = None
    for feature, numbers in enumerate(rows):
        scores = flat.take(first + (feature * count + numbers % count), 0)
        total = scores.astype(np.int16) if total is None else np.add(total, scores, out=total)
    assert total is not None
    return total
