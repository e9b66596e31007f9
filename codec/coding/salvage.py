"""What a damaged source has lost, and the tag that says so."""

import contextlib
import re
from dataclasses import dataclass

from codec.audio import AudioError, AudioInfo

SALVAGED = "salvaged"
"""Tag of a file whose source was damaged: what is lost, and why. Tokens have it in their metadata."""
_LISTED_SPANS = 200
"""Lost spans that the tag lists."""


@dataclass(frozen=True)
class SourceLosses:
    """The lost parts of a source."""

    spans: tuple[tuple[float, float], ...]
    """Start and end in seconds of each; with the one at the end of the source, which is not coded."""
    cut_off: float | None
    """Time in seconds from which on nothing could be read; None if the end of the source is intact."""

    def describe(self, error: AudioError) -> str:
        """Return the text of the tag.

        Args:
            error: the first error of the source

        Returns:
            Times in seconds, and the error.
        """
        inner = [f"{start:.2f} to {end:.2f} s" for start, end in self.spans if start != self.cut_off]
        more = f" and {len(inner) - _LISTED_SPANS} more" if len(inner) > _LISTED_SPANS else ""
        parts = [] if self.cut_off is None else [f"up to {self.cut_off:.2f} s"]
        parts += [f"without {', '.join(inner[:_LISTED_SPANS])}{more}"] if inner else []
        return f"{', '.join(parts) or 'nothing is lost'}; the source is {error.kind}: {error.reason}"


def find_source_losses(info: AudioInfo) -> SourceLosses:
    """Read a damaged source to its end.

    Args:
        info: description of the source

    Returns:
        What is lost.

    Raises:
        AudioError: nothing of it can be read.
    """
    lost: list[tuple[int, int]] = []
    samples = sum(block.shape[1] for block in info.salvaged_blocks(lost))
    spans = tuple((start / info.sample_rate, end / info.sample_rate) for start, end in lost)
    return SourceLosses(spans, spans[-1][0] if lost and lost[-1][0] == samples else None)


def with_advice(error: AudioError, info: AudioInfo) -> AudioError:
    """Add the advice to salvage a damaged source, if something of it can be read.

    Args:
        error: an error from reading the source
        info: description of the source

    Returns:
        The error to raise.
    """
    if error.is_damage:
        with contextlib.suppress(AudioError):
            if next(info.salvaged_blocks(), None) is not None:
                return AudioError(error.path, error.kind, f"{error.reason}; --salvage encodes what can be read")
    return error


def parse_losses(text: str, info: AudioInfo) -> SourceLosses:
    """Read the tag; the inverse of :meth:`SourceLosses.describe`, to a hundredth of a second.

    Args:
        text: text of the tag
        info: description of the source

    Returns:
        What is lost.
    """
    stated = text.partition("; ")[0]
    spans = [(float(start), float(end)) for start, end in re.findall(r"(\d+\.\d+) to (\d+\.\d+) s", stated)]
    found = re.match(r"up to (\d+\.\d+) s", stated)
    cut_off = float(found[1]) if found else None
    if cut_off is not None:
        spans.append((cut_off, max(cut_off, info.seconds or 0.0)))
    return SourceLosses(tuple(spans), cut_off)
