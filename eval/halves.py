"""Two halves of the validation groups: one selects, the other reports.

Whoever takes the best of many candidates takes the luckiest, too: what a candidate reached where it was chosen is too
good. The other half had no say, and tells what it is worth; how far the two are apart stands in the result.
"""

import hashlib
from dataclasses import replace

from eval.judging import Judged


def selects(group: str) -> bool:
    """Whether the group's clips select. Its name alone decides, so that it stays where it is when groups are added."""
    return hashlib.sha256(group.encode(errors="surrogateescape")).digest()[0] % 2 == 0


def half(judged: Judged, *, selecting: bool) -> Judged:
    """Only the clips of the groups that select, or only those of the others."""
    return replace(judged, clips=[clip for clip in judged.clips if selects(clip.group) == selecting])
