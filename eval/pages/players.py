"""The clips that a page plays, each in several versions between which a listener switches."""

from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from codec.errors import UserError

ORIGINAL = "Original"
"""Label of the first version of each clip."""


@dataclass(frozen=True)
class AudioVersion:
    """A version of a clip that can be played."""

    label: str
    address: str
    """A ``data:`` URL of a FLAC file."""
    gain: float = 1.0
    """Factor that makes it as loud as the original."""


@dataclass(frozen=True)
class PlayedClip:
    """A clip that a page plays."""

    title: str
    seconds: float
    versions: list[AudioVersion]
    """The original first."""
    place: int = 0
    """Index among the clips of the evaluation, in a report."""


class _Page(HTMLParser):
    """Finds the players of a report."""

    def __init__(self) -> None:
        super().__init__()
        self.clips: list[PlayedClip] = []
        self._label = ""
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "article" and "data-clip" in found:
            self.clips.append(PlayedClip(found.get("aria-label", ""), 0.0, [], int(found["data-clip"])))
        elif tag == "label":
            self._label, self._inside = "", True
        elif tag == "audio" and self.clips and found.get("src", "").startswith("data:"):
            version = AudioVersion(self._label.strip(), found["src"], float(found.get("data-gain", 1.0)))
            self.clips[-1].versions.append(version)
        elif tag == "input" and self.clips and found.get("class") == "position":
            last = self.clips[-1]
            self.clips[-1] = PlayedClip(last.title, float(found["max"]), last.versions, last.place)

    def handle_data(self, data: str) -> None:
        if self._inside:
            self._label += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "label":
            self._inside = False


def read_players(report: Path) -> list[PlayedClip]:
    """Read the sounds that a report of an evaluation plays, without decoding them.

    Args:
        report: its page, ``report.html``.

    Returns:
        The clips with several versions, in the order of the page; none if it plays none.

    Raises:
        UserError: the page cannot be read.
    """
    page = _Page()
    try:
        page.feed(report.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{report}: cannot be read; give a folder that codec evaluate wrote") from error
    return [clip for clip in page.clips if len(clip.versions) > 1 and clip.versions[0].label == ORIGINAL]
