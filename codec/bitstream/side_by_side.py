"""Range decoding of several packets side by side; docs/bitstream.md ("Payload: range coding").

Packets are coded independently of each other. The context of their codes is computed by NumPy for all of them at once,
which takes hardly longer than for one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from constriction import stream

from codec.bitstream.codes import NO_CODE, CodeArray
from codec.bitstream.context_classes import ContextClasses
from codec.bitstream.tables import UNKNOWN_COUNT, CodeTables

FindModel = Callable[[int], stream.model.Categorical]
"""Returns constriction's model of a table by its number."""

_NOT_A_RANGE_CODE = "not a range code"
"""Reason for constriction's error about a number past the end of the last interval."""


class SideBySideDecoder:
    """Decoder of packets of equal size, each of which may be damaged.

    Args:
        tables: tables of the model
        code_model: finds the table of index ``codebook * classes + class``
        count_model: finds the table of the number of codes of a frame by that of the frame before
        payloads: at least one payload, each a multiple of four bytes
    """

    def __init__(self, tables: CodeTables, code_model: FindModel, count_model: FindModel, payloads: Sequence[bytes]):
        self._tables, self._code_model, self._count_model = tables, code_model, count_model
        self._errors: dict[int, ValueError] = {}
        self._decoders: dict[int, Any] = {}
        for number, payload in enumerate(payloads):
            self._decoders[number] = stream.queue.RangeDecoder(np.frombuffer(payload, "<u4").astype(np.uint32))

    def decode(self, channels: int, codebooks: int, frames: int, variable: bool) -> list[CodeArray | ValueError]:
        """Decode all payloads; once.

        Args:
            channels: channels of the file
            codebooks: codebooks of the file, no more than tables
            frames: latent frames of each packet
            variable: whether frames may have absent codes

        Returns:
            Codes ``[channels, codebooks, frames]`` of each packet, or what is wrong with its payload.
        """
        packets = len(self._decoders)
        counts = np.full((packets, channels, frames), codebooks)
        if variable:
            self._decode_counts(counts, codebooks)
        rows = counts.reshape(-1, frames)
        context = ContextClasses(self._tables, rows, variable)
        codes = np.full((codebooks, *counts.shape), NO_CODE, np.int64)
        self._decode_first(context, counts, codes[0])
        context.set_first(codes[0].reshape(rows.shape))
        for codebook in range(1, max(1, counts.max(initial=0))):
            classes = context.classes(codebook, codes[codebook - 1].reshape(rows.shape))
            self._decode_by_class(codebook, classes.reshape(packets, -1), counts > codebook, codes[codebook])
        for number, decoder in self._decoders.items():
            if not decoder.maybe_exhausted():
                self._errors[number] = ValueError("more bytes than codes")
        return [self._errors.get(number, one) for number, one in enumerate(codes.transpose(1, 2, 0, 3))]

    def _stop(self, number: int, reason: str) -> None:
        self._errors[number] = ValueError(reason)
        del self._decoders[number]

    def _decode_counts(self, counts: CodeArray, codebooks: int) -> None:
        """Decode numbers of codes ``[packets, channels, frames]``, each under the table of the one before."""
        model = self._count_model
        for number, decoder in list(self._decoders.items()):
            decode = decoder.decode
            try:
                for channel in counts[number]:
                    row = [UNKNOWN_COUNT]
                    for _ in range(len(channel)):
                        row.append(decode(model(row[-1])))
                    channel[:] = row[1:]
            except AssertionError:
                self._stop(number, _NOT_A_RANGE_CODE)
            if counts[number].max(initial=0) > codebooks:
                self._stop(number, "more codes than codebooks")
                counts[number] = 0

    def _decode_first(self, context: ContextClasses, counts: CodeArray, codes: CodeArray) -> None:
        """Decode the first codebook's codes ``[packets, channels, frames]``, which are context of those after them."""
        packets, channels, frames = codes.shape
        model, tables = self._code_model, [0] * packets
        if context.several:
            own = context.scores_of_counts(0)
            own = np.broadcast_to(own, (packets * channels, frames, own.shape[-1])).reshape(*codes.shape, -1)
            after, after_next = context.scores_after()
        for channel in range(channels):
            before = before_that = np.full(packets, NO_CODE)
            for frame in range(frames):
                if context.several:
                    scores = own[:, channel, frame] + after.take(before, 0)
                    scores += after_next.take(before_that, 0)
                    tables = scores.argmax(1).tolist()
                found, present = [NO_CODE] * packets, counts[:, channel, frame].tolist()
                for number, decoder in list(self._decoders.items()):
                    if present[number]:
                        try:
                            found[number] = decoder.decode(model(tables[number]))
                        except AssertionError:
                            self._stop(number, _NOT_A_RANGE_CODE)
                before, before_that = np.array(found), before
                codes[:, channel, frame] = before

    def _decode_by_class(
        self, codebook: int, classes: CodeArray, present: npt.NDArray[np.bool_], codes: CodeArray
    ) -> None:
        """Decode the codes of a codebook ``[packets, channels, frames]``, class by class within each packet."""
        several, model = self._tables.classes, self._code_model
        packets = len(classes)
        # NumPy sorts integers of 16 bits in linear time; absent codes are sorted behind the others
        classes = np.where(present.reshape(packets, -1), classes, several).astype(np.uint16)
        order = np.argsort(classes, 1, kind="stable")
        index = classes + (np.arange(packets) * (several + 1))[:, None]
        lengths = np.bincount(index.ravel(), minlength=packets * (several + 1)).reshape(packets, -1)[:, :several]
        codes = codes.reshape(packets, -1)
        for number, decoder in list(self._decoders.items()):
            decode, tables = decoder.decode, enumerate(lengths[number].tolist(), codebook * several)
            try:
                found = [decode(model(table), length) for table, length in tables if length]
            except AssertionError:
                self._stop(number, _NOT_A_RANGE_CODE)
                continue
            if found:
                values = np.concatenate(found)
                codes[number, order[number, : len(values)]] = values
