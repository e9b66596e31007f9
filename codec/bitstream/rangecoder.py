"""Codes to bytes and back by range coding under integer frequency tables; docs/bitstream.md describes the coder.

The coder is constriction's, with words of 32 bits, a state of 64 and frequencies that add up to 2^24. It takes
probabilities as floating-point numbers, scales them and gives each symbol one share more than the integer part. Fed
with each frequency less 1, which float64 holds exactly, the scale is 1 and the shares are the frequencies themselves,
on every machine.
"""

import functools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from constriction import stream

from codec.model.entropy import PRECISION, FrequencyTables
from codec.model.quantizers import ABSENT

WORD_BYTES = 4
UNKNOWN = -1
"""In the place of a number of codes; as an index it finds the last row of a table."""

Codes = npt.NDArray[np.int64]
Ints = npt.NDArray[np.integer]
Points = npt.NDArray[np.int16]
"""Eight voters give 127 each at the most."""


def max_payload_bytes(symbols: int) -> int:
    """More than this no payload of so many codes and numbers of codes has, whatever the tables: a word for each, and
    two at the end."""
    return WORD_BYTES * (symbols + 2)


class RangeCoder:
    """Codes of one packet under the ``tables`` of a model. Payloads are independent of each other.

    ``variable``: frames have different numbers of codes, which is coded too; otherwise all frames have as many.
    """

    def __init__(self, tables: FrequencyTables):
        tables.check()
        self.codebooks, self.size, self.classes = tables.codebooks, tables.size, tables.classes
        self._frequencies = tables.frequencies.cpu().numpy().reshape(self.codebooks, self.classes, self.size)
        self._bits = _bits(self._frequencies)
        if self.classes > 1:
            self._votes = tables.votes.cpu().numpy()
            self._count_votes = tables.count_votes.cpu().numpy()
            self._counts = tables.counts.cpu().numpy()
            self._count_bits = _bits(self._counts)
        self._model = functools.cache(self._make_model)
        self._count_model = functools.cache(self._make_count_model)

    def _make_model(self, codebook: int, group: int) -> stream.model.Categorical:
        return _categorical(self._frequencies[codebook, group])

    def _make_count_model(self, before: int) -> stream.model.Categorical:
        return _categorical(self._counts[before])

    def encode(self, codes: Ints, variable: bool = False) -> bytes:
        """``[channels, codebooks, frames]``, each code within its table or, where ``variable``, absent, to bytes.

        Raises:
            ValueError: more codebooks than tables, a code outside its table, or one that follows an absent one.
        """
        self._check(codes, variable)
        encoder = stream.queue.RangeEncoder()
        counts = _counts(codes)
        if variable:
            for row in counts:
                for before, count in zip(np.append(UNKNOWN, row), row):
                    encoder.encode(int(count), self._count_model(int(before)))
        groups = self.groups(codes, variable)
        for code, group in zip(codes[:, 0][counts > 0].tolist(), groups[0][counts > 0].tolist()):
            encoder.encode(code, self._model(0, group))
        for codebook in range(1, len(groups)):
            present = counts > codebook
            values, group = codes[:, codebook][present].astype(np.int32), groups[codebook][present]
            order, parts = _by_group(group)
            values = values[order]
            for number, start, end in parts:
                encoder.encode(values[start:end], self._model(codebook, number))
        return encoder.get_compressed().astype("<u4").tobytes()

    def decode(self, data: bytes, channels: int, codebooks: int, frames: int, variable: bool = False) -> Codes:
        """Inverse of :meth:`encode`. Whatever the bytes, the codes are within their tables.

        Raises:
            ValueError: no bytes that :meth:`encode` could have made, as far as can be told.
        """
        if codebooks > self.codebooks:
            raise ValueError(f"{codebooks} codebooks, but tables for {self.codebooks}")
        if len(data) % WORD_BYTES or len(data) > max_payload_bytes(channels * (codebooks + variable) * frames):
            raise ValueError(f"{len(data)} bytes")
        decoder = stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))
        codes = np.full((channels, codebooks, frames), ABSENT, np.int64)
        try:
            self._decode(decoder, codes, variable)
        except AssertionError as error:  # a number past the end of the last interval
            raise ValueError("not a range code") from error
        if not decoder.maybe_exhausted():
            raise ValueError("more bytes than codes")
        return codes

    def _decode(self, decoder: stream.queue.RangeDecoder, codes: Codes, variable: bool) -> None:
        """Fills in ``codes``."""
        channels, codebooks, frames = codes.shape
        counts = np.full((channels, frames), codebooks)
        if variable:
            for row in counts:
                before = UNKNOWN
                for frame in range(frames):
                    before = row[frame] = decoder.decode(self._count_model(before))
            if counts.max(initial=0) > codebooks:
                raise ValueError("more codes than codebooks")
        used = max(1, counts.max(initial=0))
        points = self._count_points(counts, variable, used)
        for channel in range(channels):
            before = previous = ABSENT
            for frame in range(frames):
                code = ABSENT
                if counts[channel, frame]:
                    group = 0
                    if self.classes > 1:
                        votes = points[0, channel, frame] + self._votes[0, 0, before] + self._votes[0, 1, previous]
                        group = int(votes.argmax())
                    code = codes[channel, 0, frame] = decoder.decode(self._model(0, group))
                before, previous = code, before
        points += self._first_points(codes[:, 0], used)
        for codebook in range(1, used):
            present = counts > codebook
            groups = self._winners(points[codebook][present], codebook, codes[:, codebook - 1][present])
            order, parts = _by_group(groups)
            values = np.empty(len(groups), np.int64)
            for number, start, end in parts:
                values[order[start:end]] = decoder.decode(self._model(codebook, number), end - start)
            codes[:, codebook][present] = values

    def groups(self, codes: Ints, variable: bool) -> Codes:
        """The class of each code's context, ``[codebooks, channels, frames]``, for as many codebooks as are in use; of
        no meaning where a code is absent."""
        counts = _counts(codes)
        codebooks = max(1, counts.max(initial=0))
        points = self._count_points(counts, variable, codebooks)
        if self.classes > 1:
            first = codes[:, 0]
            points[0] += self._votes[0, 0, beside(first, -1)]
            points[0] += self._votes[0, 1, beside(first, -2)]
        points += self._first_points(codes[:, 0], codebooks)
        groups = [points[0].argmax(-1)]
        for codebook in range(1, codebooks):
            groups.append(self._winners(points[codebook], codebook, codes[:, codebook - 1]))
        return np.stack(groups)

    def bits(self, codes: Ints, variable: bool) -> float:
        """What the codes, and their numbers where these are ``variable``, cost under the tables, ideally coded."""
        groups = self.groups(codes, variable)
        codes_used = codes[:, : len(groups)].swapaxes(0, 1)
        present = codes_used != ABSENT
        books = np.broadcast_to(np.arange(len(groups))[:, None, None], groups.shape)
        bits = float(self._bits[books[present], groups[present], codes_used[present]].sum())
        if variable:
            counts = _counts(codes)
            bits += float(self._count_bits[beside(counts, -1), counts].sum())
        return bits

    def _count_points(self, counts: Ints, variable: bool, codebooks: int) -> Points:
        """What numbers of codes ``[channels, frames]`` say: points ``[codebooks, channels, frames, classes]``."""
        points = np.zeros((codebooks, *counts.shape, self.classes), np.int16)
        if self.classes > 1:
            counts = counts if variable else np.full_like(counts, UNKNOWN)
            for votes, numbers in zip(self._count_votes[:codebooks].swapaxes(0, 1), count_voters(counts)):
                points += votes[:, numbers]
        return points

    def _first_points(self, first: Ints, codebooks: int) -> Points:
        """What first codes ``[channels, frames]`` say of the codes after them, as :meth:`_count_points`."""
        points = np.zeros((codebooks, *first.shape, self.classes), np.int16)
        if self.classes > 1:
            for voter, step in enumerate((-1, 0, 1)):
                points[1:] += self._votes[1:codebooks, voter][:, beside(first, step)]
        return points

    def _winners(self, points: Points, codebook: int, before: Ints) -> Codes:
        """The classes with the most ``points``, once the codes ``before`` have given theirs."""
        if self.classes > 1:
            points = points + self._votes[codebook, 3, before]
        return points.argmax(-1)

    def _check(self, codes: Ints, variable: bool) -> None:
        if codes.shape[1] > self.codebooks:
            raise ValueError(f"{codes.shape[1]} codebooks, but tables for {self.codebooks}")
        if variable and self.classes == 1:
            raise ValueError("the tables have no numbers of codes")
        if not (ABSENT if variable else 0) <= codes.min() <= codes.max() < self.size:
            raise ValueError(f"codes from {codes.min()} to {codes.max()}, but tables of {self.size}")
        if ((codes[:, :-1] == ABSENT) & (codes[:, 1:] != ABSENT)).any():
            raise ValueError("a code follows one that is absent")


def _categorical(frequencies: Ints) -> stream.model.Categorical:
    return stream.model.Categorical(frequencies.astype(np.float64) - 1, perfect=False)


def _bits(frequencies: Ints) -> npt.NDArray[np.float32]:
    """What a symbol costs under each."""
    return (PRECISION - np.log2(frequencies)).astype(np.float32)


def _counts(codes: Ints) -> Codes:
    """How many codes each frame has, ``[channels, frames]``."""
    return (codes != ABSENT).sum(1)


def count_voters(counts: Ints) -> list[Ints]:
    """From numbers of codes ``[channels, frames]`` those that vote in each frame: of the frame before, the frame itself
    and the frame after, and the mean over the packet (in each channel, halves rounded up)."""
    frames = counts.shape[1]
    mean = np.where(counts == UNKNOWN, UNKNOWN, (2 * counts.sum(1, keepdims=True) + frames) // (2 * frames))
    return [beside(counts, -1), counts, beside(counts, 1), mean]


def beside(values: Ints, step: int) -> Ints:
    """``[channels, frames]``: the value ``step`` frames on, -1 past the ends."""
    moved = np.full_like(values, -1)
    if step > 0:
        moved[:, :-step] = values[:, step:]
    elif step < 0:
        moved[:, -step:] = values[:, :step]
    else:
        moved[:] = values
    return moved


def _by_group(groups: Ints) -> tuple[Codes, Iterator[tuple[int, int, int]]]:
    """What sorts by group and keeps the order within; and each group with where it then starts and ends."""
    order = np.argsort(groups, kind="stable")
    numbers, starts = np.unique(groups[order], return_index=True)
    return order, zip(numbers.tolist(), starts.tolist(), [*starts[1:].tolist(), len(groups)])
