"""Clips of a split: what its table says of each, in columns, so that millions of clips fit in memory."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Clip:
    """One packed clip, as the table of its split describes it."""

    clip_id: str
    """Digest of the audio."""
    path: Path
    """Source file."""
    domain: str
    """speech, music, general or another word of the manifest."""
    group: str
    """Clips of one group, such as a speaker, are in one split."""
    seconds: float
    rms_dbfs: float
    """RMS level of the source."""
    bandwidth_hz: float
    """Frequency up to which the source has content."""
    noise_dbfs: float
    """Level of the quietest tenth of the source's 20 ms frames."""
    frames: int
    """Samples per channel at the packed sample rate."""
    source: str = ""
    """Corpus, list or folder that the clip comes from; empty in tables that an earlier version wrote."""
    licence: str = ""
    """Licence as the user's list states it; empty if it does not."""
    language: str = ""
    """Language as the user's list states it; empty if it does not."""
    text: str = ""
    """Words that are spoken; empty if unknown."""


@dataclass(frozen=True, slots=True)
class ClipLocation:
    """Location of the samples of a clip."""

    shard: str
    """File name of the array."""
    start: int
    """First frame of the clip in that array."""


class _Texts:
    """Strings of which most differ, one after the other."""

    def __init__(self) -> None:
        self._bytes, self._ends = bytearray(), array("q", [0])

    def append(self, text: object) -> None:
        self._bytes += str(text).encode("utf-8", "surrogateescape")
        self._ends.append(len(self._bytes))

    def __getitem__(self, index: int) -> str:
        return self._bytes[self._ends[index] : self._ends[index + 1]].decode("utf-8", "surrogateescape")


class _Words:
    """Strings of which few differ: each once, and its number for every clip."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self.names: list[str] = []
        self.numbers = array("i")

    def append(self, word: str) -> None:
        number = self._known.setdefault(word, len(self._known))
        if number == len(self.names):
            self.names.append(word)
        self.numbers.append(number)

    def __getitem__(self, index: int) -> str:
        return self.names[self.numbers[index]]


_TEXTS = ("clip_id", "path", "text")
_WORDS = ("domain", "group", "source", "licence", "language", "shard")
_NAMES = tuple(field.name for field in fields(Clip))
_TYPES = {field.name: field.type for field in (*fields(Clip), *fields(ClipLocation))}


class ClipTable(Sequence[Clip]):
    """Clips, and where the samples of each are stored. A clip takes some 100 bytes and the length of its path and text.

    Args:
        rows: the clips with their locations
    """

    def __init__(self, rows: Iterable[tuple[Clip, ClipLocation]]) -> None:
        self._columns: dict[str, Any] = {
            name: _Texts() if name in _TEXTS else _Words() if name in _WORDS else array("d" if kind is float else "q")
            for name, kind in _TYPES.items()
        }
        clip_columns = [(self._columns[name].append, name) for name in _NAMES]
        add_shard, add_start = self._columns["shard"].append, self._columns["start"].append
        for clip, location in rows:
            for append, name in clip_columns:
                append(getattr(clip, name))
            add_shard(location.shard)
            add_start(location.start)

    def __len__(self) -> int:
        return len(self._columns["frames"])

    @overload
    def __getitem__(self, index: int) -> Clip: ...

    @overload
    def __getitem__(self, index: slice) -> list[Clip]: ...

    def __getitem__(self, index: int | slice) -> Clip | list[Clip]:
        if isinstance(index, slice):
            return [self[each] for each in range(len(self))[index]]
        index = range(len(self))[index]
        cells = {name: self._columns[name][index] for name in _NAMES}
        return Clip(**{**cells, "path": Path(cells["path"])})

    def location(self, index: int) -> ClipLocation:
        """Return where the samples of a clip are stored.

        Args:
            index: number of the clip

        Returns:
            The location.
        """
        return ClipLocation(self._columns["shard"][index], self._columns["start"][index])

    def numbers(self, name: str) -> npt.NDArray[Any]:
        """Return a column of numbers.

        Args:
            name: ``frames``, ``start``, ``seconds`` or another field that is a number

        Returns:
            ``[clips]``, int64 or float64; to be read only.
        """
        column = self._columns[name]
        return np.frombuffer(column, np.float64 if column.typecode == "d" else np.int64)

    def words(self, name: str) -> tuple[list[str], npt.NDArray[np.int32]]:
        """Return a column of strings of which few differ.

        Args:
            name: ``domain``, ``group``, ``source``, ``licence``, ``language`` or ``shard``

        Returns:
            The different strings in the order in which they occur first, and ``[clips]``, the place of each clip's.
        """
        column: _Words = self._columns[name]
        return column.names, np.frombuffer(column.numbers, np.int32)
