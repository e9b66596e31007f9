"""Arrays of packed samples, by name: the storage behind a split of clips.

Arrays in a local folder are mapped into memory (:class:`LocalArrays`), so that any part of any array can be read at any
time. Arrays from elsewhere pass through a cache of limited size (:mod:`codec.dataset.cached_arrays`).
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from codec.dataset.array_checksums import Shard, cached_file_sha256, read_shards
from codec.errors import UserError

Samples = npt.NDArray[np.int16]
"""int16 ``[frames, channels]``."""
REMEDY = "run codec prepare again, which writes damaged arrays anew"


class DamagedShardError(UserError):
    """An array is missing, or is not what its table describes; a training may skip its clips."""


class ShardArrays(Protocol):
    """Arrays of packed samples, by name."""

    @property
    def random_access(self) -> bool:
        """True if any array can be read at any time; False if few should be in use at once."""

    def where(self, shard: str) -> str:
        """Return the path or URL of a shard.

        Args:
            shard: its name

        Returns:
            Text for messages.
        """

    def array(self, shard: str) -> Samples:
        """Return an array.

        Args:
            shard: its name

        Returns:
            int16 ``[frames, channels]``, to be read only.

        Raises:
            DamagedShardError: it is missing or damaged.
            UserError: it cannot be read for another reason, such as a broken connection.
        """

    def prefetch(self, shards: Sequence[str]) -> None:
        """Begin to make arrays ready that will be read soon; returns at once.

        Args:
            shards: their names, the most urgent first
        """

    def require_room(self, shards: Sequence[str], open_shards: int) -> None:
        """Check that some arrays can be in use at the same time.

        Args:
            shards: names of all arrays
            open_shards: number of them in use at a time

        Raises:
            UserError: the cache is too small.
        """

    def verify(self, shard: str) -> None:
        """Compare an array with the checksum that was recorded when it was written.

        Args:
            shard: its name

        Raises:
            DamagedShardError: it has changed.
        """


class LocalArrays:
    """The arrays of a folder, as memory maps, which are opened on first use, also after pickling.

    Args:
        folder: the folder of the arrays
        channels: number of channels
    """

    random_access = True

    def __init__(self, folder: Path, channels: int) -> None:
        self._folder, self._channels = folder, channels
        self._maps: dict[str, Samples] = {}

    @cached_property
    def _recorded(self) -> dict[str, Shard]:
        return read_shards(self._folder)

    def where(self, shard: str) -> str:
        """Return the path of an array; see :meth:`ShardArrays.where`."""
        return str(self._folder / shard)

    def array(self, shard: str) -> Samples:
        """Return the memory map of an array; see :meth:`ShardArrays.array`."""
        if shard not in self._maps:
            self._maps[shard] = open_array(self._folder / shard, self._channels)
        return self._maps[shard]

    def prefetch(self, shards: Sequence[str]) -> None:
        """Do nothing: the operating system reads ahead. See :meth:`ShardArrays.prefetch`."""

    def require_room(self, shards: Sequence[str], open_shards: int) -> None:
        """Do nothing: maps need no room. See :meth:`ShardArrays.require_room`."""

    def verify(self, shard: str) -> None:
        """Read an array and compare its checksum; one without a record, as the first versions wrote them, passes.

        Args:
            shard: its name

        Raises:
            DamagedShardError: it has changed.
        """
        recorded, path = self._recorded.get(shard), self._folder / shard
        if recorded is not None and cached_file_sha256(path) != recorded.sha256:
            raise DamagedShardError(f"{path}: its samples have changed since it was written (other checksum); {REMEDY}")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}}


def open_array(path: Path, channels: int) -> Samples:
    """Map an array into memory, and check its type and shape.

    Args:
        path: a file in NumPy's format
        channels: number of channels

    Returns:
        int16 ``[frames, channels]``.

    Raises:
        DamagedShardError: it is missing, or no such array.
    """
    try:
        array = np.lib.format.open_memmap(path, mode="r")  # unlike np.load, no archive and no pickle
    except Exception as error:  # a damaged header can raise any error of its parser
        raise DamagedShardError(f"{path}: missing or damaged; {REMEDY}") from error
    if array.dtype != "<i2" or array.shape[1:] != (channels,):
        raise DamagedShardError(f"{path}: not an array of 16-bit samples of {channels} channels; {REMEDY}")
    return array
