"""Codes to bytes and back by range coding under integer frequency tables; docs/bitstream.md describes the coder.

The coder is constriction's, with words of 32 bits, a state of 64 and frequencies that add up to 2^24. It takes
probabilities as floating-point numbers, scales them and gives each symbol one share more than the integer part. Fed
with each frequency less 1, which float64 holds exactly, the scale is 1 and the shares are the frequencies themselves,
on every machine.
"""

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from constriction import stream
from torch import Tensor

from codec.model.frequency_tables import PRECISION, FrequencyTables
from codec.model.quantizers import NO_CODE

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
        self._frequencies = tables.frequencies.cpu().numpy().reshape(-1, self.size)
        self._bits = _bits(self._frequencies).reshape(self.codebooks, self.classes, self.size)
        self._models: list[stream.model.Categorical | None] = [None] * len(self._frequencies)
        if self.classes > 1:
            self._votes = _by_voter(tables.votes)
            self._count_votes = _by_voter(tables.count_votes)
            self._counts = tables.counts.cpu().numpy()
            self._count_bits = _bits(self._counts)
            self._count_models = [_categorical(row) for row in self._counts]

    def _model(self, table: int) -> stream.model.Categorical:
        """``table``: codebook * classes + class. Made when it is first asked for; most are never needed."""
        model = self._models[table]
        if model is None:
            model = self._models[table] = _categorical(self._frequencies[table])
        return model

    def encode(self, codes: Ints, variable: bool = False) -> bytes:
        """``[channels, codebooks, frames]``, each code within its table or, where ``variable``, absent, to bytes.

        Raises:
            ValueError: more codebooks than tables, a code outside its table, or one that follows an absent one.
        """
        self._check(codes, variable)
        encoder = stream.queue.RangeEncoder()
        encode, model = encoder.encode, self._model
        counts = _counts(codes)
        if variable:
            for row in counts.tolist():
                for before, count in pairwise([UNKNOWN, *row]):
                    encode(count, self._count_models[before])
        groups = self.groups(codes, variable)
        present = counts > 0
        for code, group in zip(codes[:, 0][present].tolist(), groups[0][present].tolist()):
            encode(code, model(group))
        for codebook in range(1, len(groups)):
            present = counts > codebook
            order, lengths = _by_group(groups[codebook][present])
            values, end = codes[:, codebook][present].astype(np.int32)[order], 0
            for table, length in enumerate(lengths, codebook * self.classes):
                if length:
                    start, end = end, end + length
                    encode(values[start:end], model(table))
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
        codes = np.full((channels, codebooks, frames), NO_CODE, np.int64)
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
        decode, model = decoder.decode, self._model
        counts = np.full((channels, frames), codebooks)
        if variable:
            for channel in range(channels):
                row = [UNKNOWN]
                for _ in range(frames):
                    row.append(decode(self._count_models[row[-1]]))
                counts[channel] = row[1:]
            if counts.max(initial=0) > codebooks:
                raise ValueError("more codes than codebooks")
        used = max(1, counts.max(initial=0))
        points = self._count_points(counts, variable, used)
        for channel in range(channels):
            codes[channel, 0] = self._decode_first(decoder, counts[channel].tolist(), points[channel, :, 0])
        self._add_first_points(points, codes[:, 0])
        for codebook in range(1, used):
            present = counts > codebook
            groups = self._winners(points[:, :, codebook][present], codebook, codes[:, codebook - 1][present])
            order, lengths = _by_group(groups)
            tables = enumerate(lengths, codebook * self.classes)
            values = np.empty(len(order), np.int32)
            values[order] = np.concatenate([decode(model(table), length) for table, length in tables if length])
            codes[:, codebook][present] = values

    def _decode_first(self, decoder: stream.queue.RangeDecoder, counts: list[int], points: Points) -> list[int]:
        """The first codes of a channel's frames, each of which votes on the next two."""
        decode, model, row = decoder.decode, self._model, [NO_CODE, NO_CODE]
        if self.classes == 1:
            return [decode(model(0)) if count else NO_CODE for count in counts]
        after, after_next = self._votes[:2, :, 0].astype(np.int16)
        for count, votes in zip(counts, points):
            row.append(decode(model((votes + after[row[-1]] + after_next[row[-2]]).argmax())) if count else NO_CODE)
        return row[2:]

    def groups(self, codes: Ints, variable: bool) -> Codes:
        """The class of each code's context, ``[codebooks, channels, frames]``, for as many codebooks as are in use; of
        no meaning where a code is absent."""
        counts = _counts(codes)
        codebooks = max(1, counts.max(initial=0))
        first = codes[:, 0]
        points = self._count_points(counts, variable, codebooks)
        if self.classes > 1:
            points[:, :, 0] += self._votes[0, beside(first, -1), 0]
            points[:, :, 0] += self._votes[1, beside(first, -2), 0]
        self._add_first_points(points, first)
        groups = [points[:, :, 0].argmax(-1)]
        for codebook in range(1, codebooks):
            groups.append(self._winners(points[:, :, codebook], codebook, codes[:, codebook - 1]))
        return np.stack(groups)

    def bits(self, codes: Ints, variable: bool) -> float:
        """What the codes, and their numbers where these are ``variable``, cost under the tables, ideally coded."""
        groups = self.groups(codes, variable)
        codes_used = codes[:, : len(groups)].swapaxes(0, 1)
        present = codes_used != NO_CODE
        books = np.broadcast_to(np.arange(len(groups))[:, None, None], groups.shape)
        bits = float(self._bits[books[present], groups[present], codes_used[present]].sum())
        if variable:
            counts = _counts(codes)
            bits += float(self._count_bits[beside(counts, -1), counts].sum())
        return bits

    def _count_points(self, counts: Ints, variable: bool, codebooks: int) -> Points:
        """What numbers of codes ``[channels, frames]`` say: points ``[channels, frames, codebooks, classes]``."""
        points = np.zeros((*counts.shape, codebooks, self.classes), np.int16)
        if self.classes > 1:
            counts = counts if variable else np.full_like(counts, UNKNOWN)
            for votes, numbers in zip(self._count_votes, count_voters(counts)):
                points += votes[numbers, :codebooks]
        return points

    def _add_first_points(self, points: Points, first: Ints) -> None:
        """What first codes ``[channels, frames]`` say of the codes after them, added to :meth:`_count_points`."""
        if self.classes > 1:
            later = points[:, :, 1:]
            for votes, step in zip(self._votes, (-1, 0, 1)):
                later += votes[beside(first, step), 1 : points.shape[2]]

    def _winners(self, points: Points, codebook: int, before: Ints) -> Codes:
        """The classes with the most ``points``, once the codes ``before`` have given theirs."""
        if self.classes > 1:
            points = points + self._votes[3, before, codebook]
        return points.argmax(-1)

    def _check(self, codes: Ints, variable: bool) -> None:
        if codes.shape[1] > self.codebooks:
            raise ValueError(f"{codes.shape[1]} codebooks, but tables for {self.codebooks}")
        if variable and self.classes == 1:
            raise ValueError("the tables have no numbers of codes")
        if not (NO_CODE if variable else 0) <= codes.min() <= codes.max() < self.size:
            raise ValueError(f"codes from {codes.min()} to {codes.max()}, but tables of {self.size}")
        if ((codes[:, :-1] == NO_CODE) & (codes[:, 1:] != NO_CODE)).any():
            raise ValueError("a code follows one that is absent")


def _categorical(frequencies: Ints) -> stream.model.Categorical:
    return stream.model.Categorical(frequencies.astype(np.float64) - 1, perfect=False)


def _bits(frequencies: Ints) -> npt.NDArray[np.float32]:
    """What a symbol costs under each."""
    return (PRECISION - np.log2(frequencies)).astype(np.float32)


def _counts(codes: Ints) -> Codes:
    """How many codes each frame has, ``[channels, frames]``."""
    return (codes != NO_CODE).sum(1)


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


def _by_group(groups: Ints) -> tuple[Codes, list[int]]:
    """What sorts by group and keeps the order within; and how many are in each."""
    return np.argsort(groups, kind="stable"), np.bincount(groups).tolist()


def _by_voter(votes: Tensor) -> npt.NDArray[np.int8]:
    """``[codebooks, voters, rows, classes]`` to ``[voters, rows, codebooks, classes]``: what a voter gives to all
    codebooks lies together in memory, which halves the time that votes take."""
    return np.ascontiguousarray(votes.cpu().numpy().transpose(1, 2, 0, 3))
