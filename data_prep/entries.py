"""Audio files in the sources, with their properties known before decoding."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from codec.dataset.columns import LANGUAGE_COLUMNS, LICENCE_COLUMNS, first_cell

DOMAIN_WORDS = frozenset({"speech", "voice", "music", "general"})
"""Folder names that give the domain of the recordings below them."""
ASSIGNABLE_DOMAINS = ("speech", "music", "general")
"""Domains that metrics and recipes know, which a user may assign to files."""
OTHER_DOMAIN = "audio"
"""Domain of recordings without a given domain."""

DURATION_TOLERANCE_S = 0.1
"""A duration in a list may be shorter than the file by this, for rounding."""

ENTRY_COLUMNS = {
    "path": str, "relative": str, "source": str, "domain": str, "group": str, "recording": str, "plain": bool,
    "part": bool, "text": str, "fields": str,
}  # fmt: skip
"""Columns of a table of entries, see :meth:`AudioEntry.cells`."""


class AudioOrigin(Protocol):
    """What is known about a file without decoding it, apart from its group."""

    @property
    def source(self) -> str:
        """Name of the source."""

    @property
    def domain(self) -> str:
        """``speech``, ``music``, ``general`` or any other word that a list uses."""

    @property
    def licence(self) -> str:
        """Licence according to a list; empty if it gives none."""

    @property
    def language(self) -> str:
        """Language according to a list; empty if it gives none."""


@dataclass(frozen=True, slots=True)
class AudioEntry:
    """An audio file."""

    path: Path
    """Absolute path of the file."""
    relative: str
    """Path below the source, with forward slashes."""
    source: str
    """Name of the source, for the manifest."""
    domain: str
    """``speech``, ``music``, ``general`` or any other word that a list uses."""
    group: str = ""
    """Group according to the corpus or list; empty if neither gives one."""
    recording: str = ""
    """Name of the recording, if it has several files (two microphones, stems of a song, clips of one original)."""
    plain: bool = False
    """No corpus was recognised and no list gives a group, so that only the folders decide the group."""
    part: bool = False
    """What is stated is about a part of the file, such as a segment of a conversation, so that another row may state
    another group."""
    text: str = ""
    """Words that are spoken from the start of the file on; empty if unknown. See :meth:`text_of_all`."""
    fields: dict[str, str] = field(default_factory=dict)
    """All columns of the file's row in its list."""

    def text_of_all(self, seconds: float) -> str:
        """Return the words that are spoken in the whole file.

        Args:
            seconds: duration of the file.

        Returns:
            The text; empty if the list states a shorter duration, and so has the words of a part of the file.
        """
        try:
            stated = float(self.fields.get("duration") or seconds)
        except ValueError:
            return self.text
        return "" if stated < seconds - DURATION_TOLERANCE_S else self.text

    def cells(self) -> tuple[str | int, ...]:
        """Return the row in a table of entries.

        Returns:
            Cells of :data:`ENTRY_COLUMNS`.
        """
        return (
            str(self.path), self.relative, self.source, self.domain, self.group, self.recording, self.plain, self.part,
            self.text, json.dumps(self.fields) if self.fields else "",
        )  # fmt: skip

    @classmethod
    def from_cells(cls, cells: Sequence[Any]) -> "AudioEntry":
        """Read the row of a table of entries.

        Args:
            cells: cells of :data:`ENTRY_COLUMNS`.

        Returns:
            The entry.
        """
        path, relative, source, domain, group, recording, plain, part, text, columns = cells
        return cls(
            Path(path), relative, source, domain, group, recording, bool(plain), bool(part),
            text, json.loads(columns) if columns else {},
        )  # fmt: skip

    @property
    def licence(self) -> str:
        """Licence according to the list."""
        return first_cell(self.fields, LICENCE_COLUMNS)

    @property
    def language(self) -> str:
        """Language according to the list."""
        return first_cell(self.fields, LANGUAGE_COLUMNS)


def domain_of(folder: Path) -> str:
    """Return the domain of the recordings in a folder.

    Args:
        folder: path of the folder.

    Returns:
        The name of the nearest folder, this one or a parent, that is called speech, voice, music or general, in lower
        case; else ``"audio"``.

    >>> domain_of(Path("/data/Speech/speaker 1/takes")), domain_of(Path("/data/takes"))
    ('speech', 'audio')
    """
    return next((part.lower() for part in reversed(folder.parts) if part.lower() in DOMAIN_WORDS), OTHER_DOMAIN)
