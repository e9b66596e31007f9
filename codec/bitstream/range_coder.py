"""Codes to bytes and back by range coding under integer frequency tables; docs/bitstream.md describes the coder.

The coder is constriction's, with words of 32 bits, a state of 64 and frequencies that add up to 2^24. It takes
probabilities as floating-point numbers, scales them, and gives each symbol a frequency one above the integer part.
Given each frequency less 1, which float64 holds exactly, the scale is 1 and the frequencies are the intended ones on
every machine.

Source: G. N. N. Martin, "Range encoding: an algorithm for removing redundancy from a digitised message", 1979.
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from constriction import stream

from codec.bitstream.codes import NO_CODE, CodeArray, IntArray
from codec.bitstream.header import WORD_BYTES, max_payload_bytes
from codec.bitstream.tables import PRECISION, UNKNOWN_COUNT, CodeTables

ScoreArray = npt.NDArray[np.int16]
"""Sums of at most eight scores of int8."""


class RangeCoder:
    """Range coder for the codes of packets, each of which is coded independently.

    Args:
        tables: tables of the model that made the codes

    >>> import numpy as np
    >>> from codec.bitstream.tables import CodeTables
    >>> uniform = CodeTables(np.full((1, 1, 4), 2**22, np.int32))  # one codebook of four values: 2 bits per code
    >>> coder = RangeCoder(uniform)
    >>> data = coder.encode(np.array([[[3, 1, 0, 2]]]))
    >>> coder.decode(data, channels=1, codebooks=1, frames=4).tolist()
    [[[3, 1, 0, 2]]]
    """

    def __init__(self, tables: CodeTables):
        self.codebooks, self.size, self.classes = tables.codebooks, tables.size, tables.classes
        self._frequencies = tables.frequencies.reshape(-1, self.size)
        self._bits = _bits(tables.frequencies)
        self._least_bits = self._bits.min((1, 2))
        self._models: list[stream.model.Categorical | None] = [None] * len(self._frequencies)
        if tables.code_scores is not None and tables.count_scores is not None and tables.count_frequencies is not None:
            self._code_scores = _by_feature(tables.code_scores)
            self._count_scores = _by_feature(tables.count_scores)
            self._count_bits = _bits(tables.count_frequencies)
            self._least_count_bits = float(self._count_bits.min())
            self._count_models = [_categorical(row) for row in tables.count_frequencies]

    def _model(self, table: int) -> stream.model.Categorical:
        """Return the table of index ``codebook * classes + class``, made on first use; the majority is never needed."""
        model = self._models[table]
        if model is None:
            model = self._models[table] = _categorical(self._frequencies[table])
        return model

    def encode(self, codes: IntArray, variable: bool = False) -> bytes:
        """Encode the codes of one packet.

        Args:
            codes: ``[channels, codebooks, frames]``
            variable: whether frames may have absent codes (:data:`NO_CODE`); their numbers of codes are coded then

        Returns:
            The payload, a multiple of four bytes.

        Raises:
            ValueError: There are more codebooks than tables, a code is outside its table, or a code follows an absent
                one.
        """
        self._check(codes, variable)
        encoder = stream.queue.RangeEncoder()
        encode, model = encoder.encode, self._model
        counts = _counts(codes)
        if variable:
            for row in counts.tolist():
                for before, count in pairwise([UNKNOWN_COUNT, *row]):
                    encode(count, self._count_models[before])
        classes = self.context_classes(codes, variable)
        present = counts > 0
        for code, number in zip(codes[:, 0][present].tolist(), classes[0][present].tolist()):
            encode(code, model(number))
        for codebook in range(1, len(classes)):
            present = counts > codebook
            order, lengths = _sort_by_class(classes[codebook][present])
            values, end = codes[:, codebook][present].astype(np.int32)[order], 0
            for table, length in enumerate(lengths, codebook * self.classes):
                if length:
                    start, end = end, end + length
                    encode(values[start:end], model(table))
        return encoder.get_compressed().astype("<u4").tobytes()

    def decode(self, data: bytes, channels: int, codebooks: int, frames: int, variable: bool = False) -> CodeArray:
        """Decode the payload of one packet; the inverse of :meth:`encode`.

        Args:
            data: payload. For any content, the codes are within their tables.
            channels: channels of the file
            codebooks: codebooks of the file
            frames: latent frames of the packet
            variable: whether frames may have absent codes

        Returns:
            Codes ``[channels, codebooks, frames]``.

        Raises:
            ValueError: ``data`` is, as far as can be determined, not a payload that :meth:`encode` made.
        """
        if codebooks > self.codebooks:
            raise ValueError(f"{codebooks} codebooks, but tables for {self.codebooks}")
        if len(data) % WORD_BYTES or len(data) > max_payload_bytes(channels * (codebooks + variable) * frames):
            raise ValueError(f"a payload of {len(data)} bytes")
        # a payload has no fewer bits than its information; a hundredth is left out, for the rounding of logarithms
        if 0.99 * channels * frames * self._min_frame_bits(codebooks, variable) > 8 * len(data):
            raise ValueError(f"more codes than {len(data)} bytes can hold")
        decoder = stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))
        codes = np.full((channels, codebooks, frames), NO_CODE, np.int64)
        try:
            self._decode(decoder, codes, variable)
        except AssertionError as error:  # a number past the end of the last interval
            raise ValueError("not a range code") from error
        if not decoder.maybe_exhausted():
            raise ValueError("more bytes than codes")
        return codes

    def _min_frame_bits(self, codebooks: int, variable: bool) -> float:
        """Return the information of the most likely codes of a frame; of its number of codes alone if that varies."""
        return self._least_count_bits if variable else float(self._least_bits[:codebooks].sum())

    def _decode(self, decoder: stream.queue.RangeDecoder, codes: CodeArray, variable: bool) -> None:
        """Fill in ``codes``."""
        channels, codebooks, frames = codes.shape
        decode, model = decoder.decode, self._model
        counts = np.full((channels, frames), codebooks)
        if variable:
            for channel in range(channels):
                row = [UNKNOWN_COUNT]
                for _ in range(frames):
                    row.append(decode(self._count_models[row[-1]]))
                counts[channel] = row[1:]
            if counts.max(initial=0) > codebooks:
                raise ValueError("more codes than codebooks")
        used = max(1, counts.max(initial=0))
        scores = self._scores_of_counts(counts, variable, used)
        for channel in range(channels):
            codes[channel, 0] = self._decode_first(decoder, counts[channel].tolist(), scores[channel, :, 0])
        self._add_scores_of_first(scores, codes[:, 0])
        for codebook in range(1, used):
            present = counts > codebook
            classes = self._best_classes(scores[:, :, codebook][present], codebook, codes[:, codebook - 1][present])
            order, lengths = _sort_by_class(classes)
            tables = enumerate(lengths, codebook * self.classes)
            values = np.empty(len(order), np.int32)
            values[order] = np.concatenate([decode(model(table), length) for table, length in tables if length])
            codes[:, codebook][present] = values

    def _decode_first(self, decoder: stream.queue.RangeDecoder, counts: list[int], scores: ScoreArray) -> list[int]:
        """Decode the first codebook's codes of a channel, each of which is a context feature of the next two."""
        decode, model, row = decoder.decode, self._model, [NO_CODE, NO_CODE]
        if self.classes == 1:
            return [decode(model(0)) if count else NO_CODE for count in counts]
        after, after_next = self._code_scores[:2, :, 0].astype(np.int16)
        for count, own in zip(counts, scores):
            row.append(decode(model((own + after[row[-1]] + after_next[row[-2]]).argmax())) if count else NO_CODE)
        return row[2:]

    def context_classes(self, codes: IntArray, variable: bool) -> CodeArray:
        """Determine the context class of each code.

        Args:
            codes: codes of one packet ``[channels, codebooks, frames]``
            variable: whether frames may have absent codes

        Returns:
            Classes ``[codebooks in use, channels, frames]``; without meaning where a code is absent.
        """
        counts = _counts(codes)
        codebooks = max(1, counts.max(initial=0))
        first = codes[:, 0]
        scores = self._scores_of_counts(counts, variable, codebooks)
        if self.classes > 1:
            scores[:, :, 0] += self._code_scores[0, shift_frames(first, -1), 0]
            scores[:, :, 0] += self._code_scores[1, shift_frames(first, -2), 0]
        self._add_scores_of_first(scores, first)
        classes = [scores[:, :, 0].argmax(-1)]
        for codebook in range(1, codebooks):
            classes.append(self._best_classes(scores[:, :, codebook], codebook, codes[:, codebook - 1]))
        return np.stack(classes)

    def bits(self, codes: IntArray, variable: bool) -> float:
        """Return the information content of a packet under the tables.

        Args:
            codes: ``[channels, codebooks, frames]``
            variable: whether frames may have absent codes; their numbers of codes count then

        Returns:
            Bits of an ideal entropy coder.
        """
        classes = self.context_classes(codes, variable)
        codes_used = codes[:, : len(classes)].swapaxes(0, 1)
        present = codes_used != NO_CODE
        books = np.broadcast_to(np.arange(len(classes))[:, None, None], classes.shape)
        bits = float(self._bits[books[present], classes[present], codes_used[present]].sum())
        if variable:
            counts = _counts(codes)
            bits += float(self._count_bits[shift_frames(counts, -1), counts].sum())
        return bits

    def _scores_of_counts(self, counts: IntArray, variable: bool, codebooks: int) -> ScoreArray:
        """Sum the scores of the numbers of codes ``[channels, frames]``: ``[channels, frames, codebooks, classes]``."""
        scores = np.zeros((*counts.shape, codebooks, self.classes), np.int16)
        if self.classes > 1:
            counts = counts if variable else np.full_like(counts, UNKNOWN_COUNT)
            for table, numbers in zip(self._count_scores, count_features(counts)):
                scores += table[numbers, :codebooks]
        return scores

    def _add_scores_of_first(self, scores: ScoreArray, first: IntArray) -> None:
        """Add the scores that first codes ``[channels, frames]`` give to the classes of the codes after them."""
        if self.classes > 1:
            later = scores[:, :, 1:]
            for table, step in zip(self._code_scores, (-1, 0, 1)):
                later += table[shift_frames(first, step), 1 : scores.shape[2]]

    def _best_classes(self, scores: ScoreArray, codebook: int, before: IntArray) -> CodeArray:
        """Return the classes with the highest scores, those of the codes ``before`` included."""
        if self.classes > 1:
            scores = scores + self._code_scores[3, before, codebook]
        return scores.argmax(-1)

    def _check(self, codes: IntArray, variable: bool) -> None:
        if codes.shape[1] > self.codebooks:
            raise ValueError(f"{codes.shape[1]} codebooks, but tables for {self.codebooks}")
        if variable and self.classes == 1:
            raise ValueError("the tables have no frequencies of numbers of codes")
        if not (NO_CODE if variable else 0) <= codes.min() <= codes.max() < self.size:
            raise ValueError(f"codes from {codes.min()} to {codes.max()}, but tables of {self.size}")
        if ((codes[:, :-1] == NO_CODE) & (codes[:, 1:] != NO_CODE)).any():
            raise ValueError("a code follows an absent one")


def count_features(counts: IntArray) -> list[IntArray]:
    """Return the numbers of codes that are context features of each frame.

    Args:
        counts: numbers of codes of one packet ``[channels, frames]``, or :data:`UNKNOWN_COUNT` everywhere

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


def _categorical(frequencies: IntArray) -> stream.model.Categorical:
    return stream.model.Categorical(frequencies.astype(np.float64) - 1, perfect=False)


def _bits(frequencies: IntArray) -> npt.NDArray[np.float32]:
    """Return the information content of each symbol in bits."""
    return (PRECISION - np.log2(frequencies)).astype(np.float32)


def _counts(codes: IntArray) -> CodeArray:
    """Count the codes of each frame ``[channels, frames]``."""
    return (codes != NO_CODE).sum(1)


def _sort_by_class(classes: IntArray) -> tuple[CodeArray, list[int]]:
    """Return a stable order by class, and the number of codes in each class."""
    return np.argsort(classes, kind="stable"), np.bincount(classes).tolist()


def _by_feature(scores: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Reorder ``[codebooks, features, rows, classes]`` to ``[features, rows, codebooks, classes]``: the scores of one
    feature for all codebooks are contiguous, which halves the time of adding them up.
    """
    return np.ascontiguousarray(scores.transpose(1, 2, 0, 3))
