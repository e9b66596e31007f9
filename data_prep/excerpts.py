"""Divide long recordings by time, where there are too few to divide them as wholes.

Each is cut into an excerpt for training, one for validation and one for testing, in this order, with a gap between
them that is left out, so that no sound, word or reverberation is heard on both sides.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from data_prep.manifest import ManifestRow
from data_prep.segments import AudioSegment
from data_prep.split import SPLITS, SplitRatios

GAP_S = 5.0
SHORTEST_S = 120.0
"""Shorter recordings are not divided."""


@dataclass(frozen=True)
class SplitExcerpt:
    """A part of a recording, in seconds, and the split that it belongs to."""

    split: str
    start_s: float
    end_s: float

    def of(self, row: ManifestRow) -> AudioSegment:
        """Return this part of the row's file."""
        return AudioSegment(row.segment.path, self.start_s, self.end_s)

    def group(self, row: ManifestRow) -> str:
        """Return the name of this part's group."""
        return f"{row.group} from {self.start_s:.2f} to {self.end_s:.2f} s"


def divide_recording(seconds: float, ratios: SplitRatios) -> list[SplitExcerpt]:
    """Return the excerpts of a recording, in whole hundredths of a second; splits without a share have none."""
    splits = [split for split in SPLITS if ratios.share(split) > 0]
    left = seconds - GAP_S * (len(splits) - 1)
    found, at = [], 0.0
    for split in splits:
        end = min(at + ratios.share(split) * left, seconds)
        # Inwards at the end of the recording: there is nothing behind it.
        found.append(SplitExcerpt(split, round(at, 2), int(100 * end) / 100 if split == splits[-1] else round(end, 2)))
        at = end + GAP_S
    return found


def plan_excerpts(
    rows: Iterable[ManifestRow],
    ratios: SplitRatios,
    *,
    by_time: bool,
    earlier: Sequence[ManifestRow],
    contents: Mapping[str, str],
) -> dict[str, list[SplitExcerpt]]:
    """Decide which files are divided, by their path.

    A recording that was divided by an earlier run stays divided as it was, under whatever name; one that belongs to a
    split as a whole stays whole.

    Args:
        rows: of whole files.
        by_time: divide long recordings that are new.
        earlier: rows of the earlier run.
        contents: sha256 of the samples of whole files by path, those of earlier runs included.
    """
    divided: dict[str, list[SplitExcerpt]] = {}
    for row in earlier:
        if row.assigned and not row.segment.whole and row.path in contents:
            excerpt = SplitExcerpt(row.split, row.start_s, row.end_s)
            known = divided.setdefault(contents[row.path], [])
            if excerpt not in known:
                known.append(excerpt)
    whole = {row.sha256 for row in earlier if row.assigned and row.segment.whole}
    used = [row for row in rows if row.used]
    # Files of one recording, as stems of a song are, are cut at the same times.
    longest: dict[str, float] = {}
    for row in used:
        longest[row.group] = max(longest.get(row.group, 0.0), row.seconds)
    found = {}
    for row in used:
        if row.sha256 in divided:
            found[row.path] = divided[row.sha256]
        elif by_time and longest[row.group] >= SHORTEST_S and row.sha256 not in whole:
            found[row.path] = _until(row.seconds, divide_recording(longest[row.group], ratios))
    return found


def _until(seconds: float, excerpts: Iterable[SplitExcerpt]) -> list[SplitExcerpt]:
    """What is left of the excerpts in a file that ends earlier."""
    end = int(100 * seconds) / 100
    return [replace(excerpt, end_s=min(excerpt.end_s, end)) for excerpt in excerpts if excerpt.start_s < end]
