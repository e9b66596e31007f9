"""Arrays that pass through the cache: fetched when they are needed, or ahead of it, and mapped from there."""

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from codec.dataset.arrays import DamagedShardError, Samples, open_array
from codec.dataset.clips import ClipTable
from codec.dataset.shard_cache import LIMIT_VARIABLE, ShardCache
from codec.errors import UserError

_HEADER_BYTES = 128
"""Header of an array in NumPy's format."""
_FETCHERS = 4
"""Threads of a process that fetch ahead."""
_TOUCH_S = 5.0
_ATTEMPTS = 5


def array_sizes(clips: ClipTable, channels: int) -> dict[str, int]:
    """Return the size of each array.

    Args:
        clips: all clips of the arrays
        channels: number of channels

    Returns:
        Bytes by name.
    """
    names, shard = clips.words("shard")
    ends = np.zeros(len(names), np.int64)
    np.maximum.at(ends, shard, clips.numbers("start") + clips.numbers("frames"))
    return dict(zip(names, (_HEADER_BYTES + 2 * channels * ends).tolist(), strict=True))


class ShardSource(Protocol):
    """Where the arrays come from. It is pickled into other processes."""

    def where(self, shard: str) -> str:
        """Return the URL of a shard.

        Args:
            shard: its name

        Returns:
            Text for messages.
        """

    def key(self, shard: str) -> str:
        """Return what identifies the content of a shard, at any time.

        Args:
            shard: its name

        Returns:
            Any text.
        """

    def size(self, shard: str) -> int:
        """Return the size of a shard's array.

        Args:
            shard: its name

        Returns:
            Bytes; 0 if it is not known yet.
        """

    def fill(self, shard: str, path: Path) -> None:
        """Write the array of a shard.

        Args:
            shard: its name
            path: file to write, in NumPy's format

        Raises:
            DamagedShardError: it is missing or damaged at its source.
            UserError: it cannot be read for another reason.
        """


class CachedArrays:
    """Arrays of a source, in the cache.

    Args:
        source: where they come from
        cache: where they are kept
        channels: number of channels
    """

    random_access = False

    def __init__(self, source: ShardSource, cache: ShardCache, channels: int) -> None:
        self.source, self.cache, self._channels = source, cache, channels
        self._maps: dict[str, Samples] = {}
        self._used: dict[str, float] = {}
        self._fetcher: _Fetcher | None = None

    def where(self, shard: str) -> str:
        """Return the URL of a shard; see :meth:`codec.dataset.arrays.ShardArrays.where`."""
        return self.source.where(shard)

    def array(self, shard: str) -> Samples:
        """Return the memory map of an array; waits until it is in the cache. See :meth:`ShardArrays.array`."""
        now = time.monotonic()
        if shard in self._maps:
            if now - self._used[shard] > _TOUCH_S:
                self._used[shard] = now
                self.fetch(shard)
            return self._maps[shard]
        # a map keeps the room of a file that was removed, so it is closed as soon as that is noticed
        for name in [name for name in self._maps if not self.cache.path(self.source.key(name)).exists()]:
            del self._maps[name]
        for _ in range(_ATTEMPTS):
            path = self.fetch(shard)
            try:
                array = open_array(path, self._channels)
            except DamagedShardError:
                if not path.exists():  # another process has made room
                    continue
                path.unlink(missing_ok=True)
                continue
            self._maps[shard], self._used[shard] = array, now
            return array
        raise DamagedShardError(f"{self.where(shard)}: its copy in {self.cache.folder} cannot be read")

    def fetch(self, shard: str) -> Path:
        """Bring an array into the cache, unless it is there.

        Args:
            shard: its name

        Returns:
            Its path there.

        Raises:
            DamagedShardError: it is missing or damaged at its source.
            UserError: it cannot be read for another reason.
        """
        return self.cache.get(
            self.source.key(shard), lambda path: self.source.fill(shard, path), self.source.size(shard)
        )

    def prefetch(self, shards: Sequence[str]) -> None:
        """Fetch arrays in the background; see :meth:`ShardArrays.prefetch`."""
        missing = [shard for shard in shards if shard not in self._maps]
        if not missing:
            return
        if self._fetcher is None or self._fetcher.process != os.getpid():  # threads do not survive a fork
            self._fetcher = _Fetcher(self)
        self._fetcher.want(missing)

    def verify(self, shard: str) -> None:
        """Do nothing: checksums are compared on fetching. See :meth:`codec.dataset.arrays.ShardArrays.verify`."""

    def require_room(self, shards: Sequence[str], open_shards: int) -> None:
        """Check that the cache can hold the open arrays and the two that are fetched meanwhile.

        Args:
            shards: names of all arrays
            open_shards: number of them in use at a time

        Raises:
            UserError: its limit is lower.
        """
        sizes = sorted(self.source.size(shard) for shard in shards)
        wanted = sum(sizes[-(open_shards + 2) :])
        if wanted > self.cache.limit_bytes:
            raise UserError(
                f"{self.cache.folder}: {open_shards} open shards and two to come need {wanted / 1e9:.3g} GB of cache,"
                f" above its limit of {self.cache.limit_bytes / 1e9:g} GB; set {LIMIT_VARIABLE} higher, or"
                " data.open_shards lower"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_maps": {}, "_used": {}, "_fetcher": None}


class _Fetcher:
    """Threads that bring the arrays of a list into the cache; each new list replaces the one before."""

    def __init__(self, arrays: CachedArrays) -> None:
        self.process = os.getpid()
        self._arrays = arrays
        self._wanted: list[str] = []
        self._done: set[str] = set()
        self._changed = threading.Condition()
        for number in range(_FETCHERS):
            threading.Thread(target=self._work, name=f"shards {number}", daemon=True).start()

    def want(self, shards: Sequence[str]) -> None:
        with self._changed:
            self._done &= set(shards)
            self._wanted = [shard for shard in shards if shard not in self._done]
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._wanted:
                    self._changed.wait()
                shard = self._wanted.pop(0)
                self._done.add(shard)
            try:
                self._arrays.fetch(shard)
            except UserError:
                continue  # it is met again, and reported, when the array is read
