"""The clips of one split with their samples, wherever the arrays are."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from codec.dataset.arrays import REMEDY, DamagedShardError, ShardArrays
from codec.dataset.clips import ClipTable

FULL_SCALE = 32768
"""The 16-bit value that stands for a sample of 1.0."""


@dataclass(frozen=True)
class DatasetSummary:
    """Size of the data that a model is trained on."""

    clips: int
    groups: int
    seconds: float
    domains: dict[str, float]
    """Seconds of each domain."""


@dataclass(frozen=True)
class SourceSummary:
    """The clips of one source in a split."""

    source: str
    frames: int
    """Samples per channel at the packed sample rate."""
    licences: list[str]
    """The different licences of its clips, sorted; empty if the user's list states none."""
    languages: list[str]
    """The different languages of its clips, sorted; empty if the user's list states none."""


class PackedSplit:
    """The clips of one split.

    Args:
        arrays: the arrays that hold the samples
        clips: the clips of the split, and where each is stored
        sample_rate: in Hz
        channels: number of channels
        max_damaged_share: share of the frames that :meth:`skip` may leave out
    """

    def __init__(
        self,
        arrays: ShardArrays,
        clips: ClipTable,
        sample_rate: int,
        channels: int,
        max_damaged_share: float = 0.0,
    ) -> None:
        self.arrays = arrays
        self.clips = clips
        self.sample_rate = sample_rate
        self.channels = channels
        self.max_damaged_share = max_damaged_share
        self.damaged: dict[str, str] = {}
        """Arrays whose clips are skipped, each with the reason."""
        self.left_out = ""
        """What of the data has no clip here, in one line; empty if nothing."""

    def __len__(self) -> int:
        return len(self.clips)

    @property
    def summary(self) -> DatasetSummary:
        """Number of clips and groups, and seconds per domain."""
        names, domain = self.clips.words("domain")
        seconds = np.bincount(domain, self.clips.numbers("seconds"), len(names)).tolist()
        domains = dict(zip(names, seconds, strict=True))
        return DatasetSummary(len(self), len(self.clips.words("group")[0]), sum(seconds), domains)

    @property
    def sources(self) -> list[SourceSummary]:
        """The sources of the clips, sorted by name; a table that names none has one source without a name."""
        names, source = self.clips.words("source")
        frames = [0] * len(names)
        stated = {name: [set[str]() for _ in names] for name in ("licence", "language")}
        for name, found in stated.items():
            words, word = self.clips.words(name)
            for pair in np.unique(np.stack([source, word]), axis=1).T.tolist():
                found[pair[0]].add(words[pair[1]])
        for number in range(len(names)):
            frames[number] = int(self.clips.numbers("frames")[source == number].sum())
        summaries = [
            SourceSummary(name, frames[number], *(sorted(found[number] - {""}) for found in stated.values()))
            for number, name in enumerate(names)
        ]
        return sorted(summaries, key=lambda known: known.source)

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that depend on the clips and their order, not on where the data is stored."""
        digest = hashlib.sha256()
        for clip in self.clips:
            digest.update(f"{clip.clip_id} {clip.frames} {clip.domain}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()[:16]

    @cached_property
    def shards(self) -> dict[str, npt.NDArray[np.int64]]:
        """Numbers of the clips in each array, by its name, in the order of the table."""
        names, shard = self.clips.words("shard")
        order = np.argsort(shard, kind="stable")
        ends = np.cumsum(np.bincount(shard, minlength=len(names)))
        return dict(zip(names, np.split(order, ends[:-1]), strict=True))

    def shard_of(self, index: int) -> str:
        """Return the name of the array that holds a clip.

        Args:
            index: number of the clip in :attr:`clips`

        Returns:
            The name.
        """
        return self.clips.location(index).shard

    def waveform(self, index: int, start: int = 0, frames: int | None = None) -> npt.NDArray[np.float32]:
        """Return the samples of a clip, or of a part of it.

        Args:
            index: number of the clip in :attr:`clips`
            start: first frame of the part; beyond the ends of the clip it is moved to the nearest end
            frames: length of the part; None: up to the end of the clip

        Returns:
            float32 ``[channels, frames]``, full scale ±1; shorter than ``frames`` if the clip ends before.

        Raises:
            DamagedShardError: the array is missing or damaged.
        """
        stored = self.stored(index)
        start = min(max(start, 0), len(stored))
        stop = len(stored) if frames is None else min(start + frames, len(stored))
        return np.divide(stored[start:stop].T, np.float32(FULL_SCALE), order="C", dtype=np.float32)

    def stored(self, index: int) -> npt.NDArray[np.int16]:
        """Return the samples of a clip as they are stored.

        Args:
            index: number of the clip in :attr:`clips`

        Returns:
            int16 ``[frames, channels]``, full scale :data:`FULL_SCALE`, to be read only.

        Raises:
            DamagedShardError: the array is missing or damaged.
        """
        location, frames = self.clips.location(index), int(self.clips.numbers("frames")[index])
        return self.arrays.array(location.shard)[location.start : location.start + frames]

    def check(self) -> None:
        """Compare the shape and type of each array with the table; only the headers are read.

        Raises:
            UserError: arrays are missing, or are not what the table describes, and hold more than
                ``max_damaged_share`` of the frames.
        """
        ends = self.clips.numbers("start") + self.clips.numbers("frames")
        for shard, members in self.shards.items():
            try:
                held, end = len(self.arrays.array(shard)), int(ends[members].max())
                if held < end:
                    raise DamagedShardError(
                        f"{self.arrays.where(shard)}: holds {held} frames, but its clips end at {end}; {REMEDY}"
                    )
            except DamagedShardError as error:
                self.skip(shard, str(error))

    def verify(self) -> None:
        """Compare the checksum of each array with the one that ``codec prepare`` recorded; all of them are read.

        Raises:
            UserError: arrays have changed that hold more than ``max_damaged_share`` of the frames.
        """
        for shard in sorted(self.shards):
            try:
                self.arrays.verify(shard)
            except DamagedShardError as error:
                self.skip(shard, str(error))

    def skip(self, shard: str, reason: str) -> bool:
        """Leave out the clips of a damaged array from now on.

        Args:
            shard: name of the array
            reason: what is wrong, in one line

        Returns:
            False if it is left out already.

        Raises:
            UserError: the arrays left out hold more than ``max_damaged_share`` of the frames.
        """
        if shard in self.damaged:
            return False
        self.damaged[shard] = reason
        clips, share = self._count_skipped()
        if share > self.max_damaged_share:
            lost = f"{share:.1%} of the audio, {clips} clips, is damaged, above data.max_damaged_share"
            raise DamagedShardError(f"{reason} ({lost})" if self.max_damaged_share else reason)
        return True

    def describe_damage(self) -> str:
        """Describe what is left out.

        Returns:
            One line; empty if nothing is.
        """
        if not self.damaged:
            return ""
        clips, share = self._count_skipped()
        return f"{len(self.damaged)} damaged shards with {clips} clips are skipped, {share:.2%} of the training audio"

    def _count_skipped(self) -> tuple[int, float]:
        """Return the number of clips that are left out, and their share of the frames."""
        frames = self.clips.numbers("frames")
        # a copy: a thread that verifies the arrays may add others meanwhile
        lost = [self.shards[shard] for shard in list(self.damaged)]
        return sum(map(len, lost)), sum(int(frames[members].sum()) for members in lost) / int(frames.sum())
