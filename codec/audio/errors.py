"""The error that reading and writing audio files raises."""

from pathlib import Path
from typing import Literal

from codec.errors import UserError

AudioErrorKind = Literal["unreadable", "empty", "cut off or damaged", "NaN or infinity", "unwritable"]


class AudioError(UserError):
    """Report an audio file that cannot be read or written, in one line with its path and the reason.

    Args:
        path: the file.
        kind: the class of failure, under which such files are counted.
        reason: one line without the path.
    """

    def __init__(self, path: Path, kind: AudioErrorKind, reason: str) -> None:
        super().__init__(path, kind, reason)
        self.path, self.kind, self.reason = path, kind, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"
