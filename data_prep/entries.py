"""What the sources of a preparation hold: one entry for each audio file, before anything is decoded."""

from dataclasses import dataclass, field
from pathlib import Path

DOMAIN_WORDS = frozenset({"speech", "voice", "music", "general"})
OTHER_DOMAIN = "audio"


@dataclass(frozen=True)
class AudioEntry:
    """One audio file.

    Args:
        path: absolute path of the file.
        relative: its path below the source, with forward slashes.
        source: name of the source, for the manifest.
        domain: speech, music, general, or another word of the user's own.
        group: what the corpus or the manifest says; empty where neither says anything.
        recording: what one recording is where that is more than this file (two microphones, stems of one song, clips
            cut from one original); empty otherwise.
        plain: no layout was recognised and no manifest names the file, so that the folders alone speak.
        fields: the other columns of its manifest.
    """

    path: Path
    relative: str
    source: str
    domain: str
    group: str = ""
    recording: str = ""
    plain: bool = False
    fields: dict[str, str] = field(default_factory=dict)


def domain_of(folder: Path) -> str:
    """Return the innermost folder name that is a domain's (speech, voice, music, general), else "audio"."""
    return next((part.lower() for part in reversed(folder.parts) if part.lower() in DOMAIN_WORDS), OTHER_DOMAIN)
