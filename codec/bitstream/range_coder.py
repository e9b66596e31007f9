"""Codes to bytes and back by range coding under integer frequency tables; docs/bitstream.md describes the coder.

The coder is constriction's, with words of 32 bits, a state of 64 and frequencies that add up to 2^24. It takes
probabilities as floating-point numbers, scales them, and gives each symbol a frequency one above the integer part.
Given each frequency less 1, which float64 holds exactly, the scale is 1 and the frequencies are the intended ones on
every machine.

Source: G. N. N. Martin, "Range encoding: an algorithm for removing redundancy from a digitised message", 1979.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt
from constriction import stream

from codec.bitstream.codes import NO_CODE, CodeArray, IntArray
from codec.bitstream.context_classes import ContextClasses, shift_frames
from codec.bitstream.header import WORD_BYTES, max_payload_bytes
from codec.bitstream.side_by_side import SideBySideDecoder
from codec.bitstream.tables import PRECISION, UNKNOWN_COUNT, CodeTables


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
        self._tables = tables
        if tables.count_frequencies is not None:
            self._count_bits = _bits(tables.count_frequencies)
            self._least_count_bits = float(self._count_bits.min())
            self._count_models = [_categorical(row) for row in tables.count_frequencies]

    @cached_property
    def _intervals(self) -> "_IntervalEncoder":
        """Encoder of codes."""
        return _IntervalEncoder(self._frequencies)

    @cached_property
    def _count_intervals(self) -> "_IntervalEncoder":
        """Encoder of numbers of codes."""
        assert self._tables.count_frequencies is not None
        return _IntervalEncoder(self._tables.count_frequencies)

    def _model(self, table: int) -> stream.model.Categorical:
        """Return the table of index ``codebook * classes + class``, made on first use; the majority is never needed."""
        model = self._models[table]
        if model is None:
            model = self._models[table] = _categorical(self._frequencies[table])
        return model

    def _count_model(self, before: int) -> stream.model.Categorical:
        """Return the table of the number of codes after a frame with ``before`` codes."""
        return self._count_models[before]

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
        (payload,) = self.encode_packets([codes], variable)
        return payload

    def encode_packets(self, packets: Sequence[IntArray], variable: bool = False) -> list[bytes]:
        """Encode the codes of several packets of equal size; many of them take less time together.

        Args:
            packets: codes ``[channels, codebooks, frames]`` of each packet, as for :meth:`encode`
            variable: whether frames may have absent codes

        Returns:
            The payload of each packet.

        Raises:
            ValueError: as :meth:`encode`, for any of the packets.
        """
        # a channel's contexts are its own codes, so that the channels of all packets can be taken for those of one
        count, codes = len(packets), np.concatenate(packets)
        self._check(codes, variable)
        encoders = [stream.queue.RangeEncoder() for _ in packets]
        if variable:
            counts = _counts(codes)
            before = shift_frames(counts, UNKNOWN_COUNT)
            sizes = [counts.size // count] * count
            self._count_intervals.encode(encoders, sizes, before.ravel(), counts.ravel())
        classes = self.context_classes(codes, variable)
        codes_used = codes[:, : len(classes)].swapaxes(0, 1)
        tables = classes + self.classes * np.arange(len(classes))[:, None, None]
        tables, values = _by_packets(tables, count), _by_packets(codes_used, count)
        present = values != NO_CODE
        sizes = present.sum(1).tolist()
        # the first codebook in time, the others class by class; NumPy sorts integers of 16 bits in linear time
        keys = np.where(tables < self.classes, 0, tables) + len(self._frequencies) * np.arange(count)[:, None]
        keys = keys[present].astype(np.min_scalar_type(count * len(self._frequencies)))
        order = np.argsort(keys, kind="stable")
        self._intervals.encode(encoders, sizes, tables[present][order], values[present][order])
        return [encoder.get_compressed().astype("<u4").tobytes() for encoder in encoders]

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
        (result,) = self.decode_packets([data], channels, codebooks, frames, variable)
        if isinstance(result, ValueError):
            raise result
        return result

    def decode_packets(
        self, payloads: Sequence[bytes], channels: int, codebooks: int, frames: int, variable: bool = False
    ) -> list[CodeArray | ValueError]:
        """Decode the payloads of several packets of equal size; many of them take less time together.

        Args:
            payloads: payloads, as for :meth:`decode`
            channels: channels of the file
            codebooks: codebooks of the file
            frames: latent frames of each packet
            variable: whether frames may have absent codes

        Returns:
            For each payload what :meth:`decode` returns, or the error that it raises.
        """
        faults = [self._fault(data, channels, codebooks, frames, variable) for data in payloads]
        plausible = [data for data, fault in zip(payloads, faults) if fault is None]
        if not plausible:
            return list(filter(None, faults))
        decoder = SideBySideDecoder(self._tables, self._model, self._count_model, plausible)
        decoded = iter(decoder.decode(channels, codebooks, frames, variable))
        return [fault or next(decoded) for fault in faults]

    def _fault(self, data: bytes, channels: int, codebooks: int, frames: int, variable: bool) -> ValueError | None:
        """Return why no codes of this shape can have this payload."""
        if codebooks > self.codebooks:
            return ValueError(f"{codebooks} codebooks, but tables for {self.codebooks}")
        if len(data) % WORD_BYTES or len(data) > max_payload_bytes(channels * (codebooks + variable) * frames):
            return ValueError(f"a payload of {len(data)} bytes")
        # a payload has no fewer bits than its information; a hundredth is left out, for the rounding of logarithms
        if 0.99 * channels * frames * self._min_frame_bits(codebooks, variable) > 8 * len(data):
            return ValueError(f"more codes than {len(data)} bytes can hold")
        return None

    def _min_frame_bits(self, codebooks: int, variable: bool) -> float:
        """Return the information of the most likely codes of a frame; of its number of codes alone if that varies."""
        return self._least_count_bits if variable else float(self._least_bits[:codebooks].sum())

    def context_classes(self, codes: IntArray, variable: bool) -> CodeArray:
        """Determine the context class of each code.

        Args:
            codes: codes of one packet ``[channels, codebooks, frames]``
            variable: whether frames may have absent codes

        Returns:
            Classes ``[codebooks in use, channels, frames]``; without meaning where a code is absent.
        """
        counts = _counts(codes)
        used = max(1, counts.max(initial=0))
        return ContextClasses(self._tables, counts, variable).classes_of_all(codes[:, :used].swapaxes(0, 1))

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

    def _check(self, codes: IntArray, variable: bool) -> None:
        if codes.shape[1] > self.codebooks:
            raise ValueError(f"{codes.shape[1]} codebooks, but tables for {self.codebooks}")
        if variable and self.classes == 1:
            raise ValueError("the tables have no frequencies of numbers of codes")
        if not (NO_CODE if variable else 0) <= codes.min() <= codes.max() < self.size:
            raise ValueError(f"codes from {codes.min()} to {codes.max()}, but tables of {self.size}")
        if ((codes[:, :-1] == NO_CODE) & (codes[:, 1:] != NO_CODE)).any():
            raise ValueError("a code follows an absent one")


def _categorical(frequencies: IntArray) -> stream.model.Categorical:
    return stream.model.Categorical(frequencies.astype(np.float64) - 1, perfect=False)


def _bits(frequencies: IntArray) -> npt.NDArray[np.float32]:
    """Return the information content of each symbol in bits."""
    return (PRECISION - np.log2(frequencies)).astype(np.float32)


def _counts(codes: IntArray) -> CodeArray:
    """Count the codes of each frame ``[channels, frames]``."""
    return (codes != NO_CODE).sum(1)


def _by_packets(values: CodeArray | IntArray, count: int) -> CodeArray:
    """Reorder ``[codebooks, packets * channels, frames]``: ``[packets, values of a packet]``, by codebooks."""
    return values.reshape(len(values), count, -1).swapaxes(0, 1).reshape(count, -1).astype(np.int64, copy=False)


class _IntervalEncoder:
    """Encodes symbols, each under a table of its own, in one call of constriction for each packet.

    The coder needs the interval of a symbol, not its whole table. So each symbol is one of three: itself, all before
    it, and all after it. None of the three may be empty: at an end of the table, a neighbour is split instead.

    Args:
        frequencies: tables ``[tables, size]``
    """

    def __init__(self, frequencies: IntArray):
        self._frequencies, self._ends = frequencies, frequencies.cumsum(1, dtype=np.int32)

    def encode(
        self, encoders: Sequence[stream.queue.RangeEncoder], sizes: Sequence[int], tables: IntArray, symbols: IntArray
    ) -> None:
        """Encode ``symbols`` ``[n]`` under the tables of these numbers ``[n]``, ``sizes`` of them with each encoder."""
        if self._frequencies.shape[1] <= 3:
            _encode_rows(encoders, sizes, symbols, self._frequencies[tables])
            return
        own, end = self._frequencies[tables, symbols], self._ends[tables, symbols]
        before, after = end - own, (1 << PRECISION) - end
        first, last = before == 0, after == 0
        rows = np.stack(
            [
                np.where(first, own, before - last),
                np.where(first | last, 1, own),
                np.where(last, own, after - first),
            ],
            1,
        )
        _encode_rows(encoders, sizes, 1 - first + last, rows)


def _encode_rows(
    encoders: Sequence[stream.queue.RangeEncoder], sizes: Sequence[int], symbols: IntArray, frequencies: IntArray
) -> None:
    """Encode ``symbols`` ``[n]``, each under its row of ``frequencies`` ``[n, size]``."""
    family = stream.model.Categorical(perfect=False)
    symbols, weights = symbols.astype(np.int32), frequencies.astype(np.float64) - 1
    first = 0
    for encoder, size in zip(encoders, sizes, strict=True):
        encoder.encode(symbols[first : first + size], family, weights[first : first + size])
        first += size
