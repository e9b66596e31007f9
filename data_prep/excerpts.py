"""Divide long recordings by time, if there are too few to assign each to a split as a whole.

Each is cut into an excerpt for training, one for validation and one for testing, in this order. A gap between them is
left out, so that no sound, word or reverberation occurs in two splits.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from data_prep.manifest import ManifestRow
from data_prep.segments import AudioSegment
from data_prep.split_ratios import SPLITS, SplitRatios

GAP_S = 5.0
"""Seconds that are left out between two excerpts."""
SHORTEST_S = 120.0
"""Shorter recordings are not divided."""


@dataclass(frozen=True)
class SplitExcerpt:
    """A part of a recording, from ``start_s`` to ``end_s`` in seconds, that belongs to a split."""

    split: str
    start_s: float
    end_s: float

    def segment_of(self, row: ManifestRow) -> AudioSegment:
        """Return this part of a file.

        Args:
            row: row of the whole file.

        Returns:
            The segment.
        """
        return AudioSegment(row.segment.path, self.start_s, self.end_s)

    def group_of(self, row: ManifestRow) -> str:
        """Return the name of the group of this part, which is in one split although the recording is not.

        Args:
            row: row of the whole file.

        Returns:
            Name of the file's group, with the times.
        """
        return f"{row.group} from {self.start_s:.2f} to {self.end_s:.2f} s"


def divide_recording(seconds: float, ratios: SplitRatios) -> list[SplitExcerpt]:
    """Divide a recording into one excerpt for each split.

    Args:
        seconds: duration of the recording.
        ratios: shares of the splits; those without a share have no excerpt.

    Returns:
        Excerpts in the order of time, at whole hundredths of a second.

    >>> [(part.split, part.start_s, part.end_s) for part in divide_recording(210.0, SplitRatios(0.8, 0.1, 0.1))]
    [('train', 0.0, 160.0), ('val', 165.0, 185.0), ('test', 190.0, 210.0)]
    """
    splits = [split for split in SPLITS if ratios.share(split) > 0]
    left = seconds - GAP_S * (len(splits) - 1)
    excerpts, at = [], 0.0
    for split in splits:
        end = min(at + ratios.share(split) * left, seconds)
        # Rounded down at the end of the recording, since nothing follows it.
        rounded = int(100 * end) / 100 if split == splits[-1] else round(end, 2)
        excerpts.append(SplitExcerpt(split, round(at, 2), rounded))
        at = end + GAP_S
    return excerpts


def plan_excerpts(
    rows: Iterable[ManifestRow],
    ratios: SplitRatios,
    *,
    by_time: bool,
    earlier: Sequence[ManifestRow],
    contents: Mapping[str, str],
) -> dict[str, list[SplitExcerpt]]:
    """Decide which files are divided.

    A recording that an earlier run divided keeps its excerpts, even under another name; one that belongs to a split as
    a whole stays whole.

    Args:
        rows: rows of whole files.
        ratios: shares of the splits.
        by_time: divide long recordings that are new.
        earlier: rows of the earlier run.
        contents: SHA-256 of the samples of whole files by path, including those of earlier runs.

    Returns:
        Excerpts by path of the file; files that are not divided are left out.
    """
    divided = _earlier_excerpts(earlier, contents)
    whole = {row.sha256 for row in earlier if row.assigned and row.segment.whole}
    used = [row for row in rows if row.used]
    # Files of one recording, such as stems of a song, are cut at the same times.
    longest: dict[str, float] = {}
    for row in used:
        longest[row.group] = max(longest.get(row.group, 0.0), row.seconds)
    planned = {}
    for row in used:
        if row.sha256 in divided:
            planned[row.path] = divided[row.sha256]
        elif by_time and longest[row.group] >= SHORTEST_S and row.sha256 not in whole:
            planned[row.path] = _limit(row.seconds, divide_recording(longest[row.group], ratios))
    return planned


def _earlier_excerpts(earlier: Iterable[ManifestRow], contents: Mapping[str, str]) -> dict[str, list[SplitExcerpt]]:
    """Return the excerpts of an earlier run by SHA-256 of the recording's samples."""
    divided: dict[str, list[SplitExcerpt]] = {}
    for row in earlier:
        if row.assigned and not row.segment.whole and row.path in contents:
            excerpt = SplitExcerpt(row.split, row.start_s, row.end_s)
            known = divided.setdefault(contents[row.path], [])
            if excerpt not in known:
                known.append(excerpt)
    return divided


def _limit(seconds: float, excerpts: Iterable[SplitExcerpt]) -> list[SplitExcerpt]:
    """Return the parts of the excerpts that a file of this duration has."""
    end = int(100 * seconds) / 100
    return [replace(excerpt, end_s=min(excerpt.end_s, end)) for excerpt in excerpts if excerpt.start_s < end]
