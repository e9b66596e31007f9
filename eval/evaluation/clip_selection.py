"""The choice of clips: a sample spread over the groups, excerpts for candidates, and the halves of validation.

The score by which a candidate was selected as the best of many is biased upwards by chance. So the groups of the
validation split are halved: one half selects the candidate, and the other half, not used for selection, gives the
reported score.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from codec.audio import FloatArray
from codec.dataset.clips import Clip
from codec.dataset.location import DataLocation
from codec.dataset.packed_split import PackedSplit
from codec.errors import UserError
from eval.metrics.metric import MAX_SECONDS
from eval.metrics.registry import metric

MIN_EXCERPT_S, MAX_EXCERPT_S = 3.2, 8.0
"""Shorter clips give no excerpt; longer clips are truncated."""
TRANSCRIBED_CLIPS = 10
"""Clips of each group on which the word error rate is measured."""


@dataclass(frozen=True)
class Excerpt:
    """The beginning of a clip."""

    clip_id: str
    group: str
    domain: str
    waveform: FloatArray
    """``[channels, samples]``."""
    sample_rate: int
    """Sample rate in Hz."""
    text: str = ""
    """Words that are spoken in it; empty if unknown, as where the clip goes on."""

    @property
    def seconds(self) -> float:
        """Duration."""
        return self.waveform.shape[1] / self.sample_rate


def choose_clips(clips: Sequence[Clip], limit: int | None) -> list[int]:
    """Choose clips, one from each group in turn, in an order that depends on their names only.

    Args:
        clips: clips of a split.
        limit: maximum number of clips; None: all.

    Returns:
        The indices of the chosen clips, ascending.
    """
    if limit is None or limit >= len(clips):
        return list(range(len(clips)))
    groups = _shuffle_groups(clips, range(len(clips)))
    turns = [(turn, _digest(group), index) for group, indices in groups.items() for turn, index in enumerate(indices)]
    return sorted(index for _, _, index in sorted(turns)[:limit])


def choose_transcribed(clips: Sequence[Clip], indices: Sequence[int], sample_rate: int) -> list[int]:
    """Choose the clips whose word error rate is measured: the recogniser is much slower than all other metrics.

    Those of each group come in the order of :func:`choose_clips`, so that the clips of an evaluation with a limit are
    among those of one without.

    Args:
        clips: clips of a split.
        indices: indices of the clips that are evaluated.
        sample_rate: sample rate of the codec, in Hz.

    Returns:
        Indices of at most :data:`TRANSCRIBED_CLIPS` clips of each group, ascending: of speech that has a text and is
        judged as a whole, since no text of a part is known.
    """

    def is_usable(clip: Clip) -> bool:
        return metric("wer").applies(clip.domain, sample_rate, clip.text) and clip.seconds <= MAX_SECONDS

    groups = _shuffle_groups(clips, [index for index in indices if is_usable(clips[index])])
    return sorted(index for members in groups.values() for index in members[:TRANSCRIBED_CLIPS])


def _shuffle_groups(clips: Sequence[Clip], indices: Sequence[int]) -> dict[str, list[int]]:
    """Return the indices by group, in an order that depends on the names of the clips only."""
    groups: dict[str, list[int]] = {}
    for index in sorted(indices, key=lambda index: _digest(clips[index].clip_id)):
        groups.setdefault(clips[index].group, []).append(index)
    return groups


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def choose_excerpts(split: PackedSplit, limit: int) -> list[Excerpt]:
    """Choose excerpts of clips that last at least :data:`MIN_EXCERPT_S`, spread over the groups; always the same ones.

    Args:
        split: the clips.
        limit: maximum number of excerpts.

    Returns:
        The first :data:`MAX_EXCERPT_S` of each chosen clip, in the order of the split.
    """
    long = [index for index, clip in enumerate(split.clips) if clip.frames >= MIN_EXCERPT_S * split.sample_rate]
    chosen = [long[index] for index in choose_clips([split.clips[index] for index in long], limit)]
    found = []
    for index in chosen:
        clip = split.clips[index]
        waveform = split.waveform(index, 0, int(MAX_EXCERPT_S * split.sample_rate))
        text = clip.text if waveform.shape[1] == clip.frames else ""
        found.append(Excerpt(clip.clip_id, clip.group, clip.domain, waveform, split.sample_rate, text))
    return found


def require_excerpts(excerpts: Sequence[Excerpt], data: DataLocation) -> None:
    """Check that there are validation excerpts.

    Args:
        excerpts: those that were chosen.
        data: their folder or URL.

    Raises:
        UserError: there are none.
    """
    if not excerpts:
        raise UserError(f"{data}: no validation clip lasts {MIN_EXCERPT_S:g} s; prepare longer recordings")


def selects(group: str) -> bool:
    """Return whether the clips of a validation group select candidates; those of the other groups report.

    Only the name decides, so that a group stays in its half when others are added.

    Args:
        group: name of the group.

    Returns:
        True for about half of all names.
    """
    return hashlib.sha256(group.encode(errors="surrogateescape")).digest()[0] % 2 == 0
