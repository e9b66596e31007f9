"""The error that reading and writing audio files raises."""

from pathlib import Path
from typing import Literal

from codec.errors import UserError

AudioErrorKind = Literal["unreadable", "empty", "cut off or damaged", "NaN or infinity", "unwritable"]
"""Class of failure, under which reports count files."""


class AudioError(UserError):
    """An audio file cannot be read or written. The message is one line with the path and the reason.

    Args:
        path: the file
        kind: class of failure, under which reports count such files
        reason: the reason in one line, without the path
    """

    def __init__(self, path: Path, kind: AudioErrorKind, reason: str) -> None:
        super().__init__(path, kind, reason)
        self.path, self.kind, self.reason = path, kind, reason

    @property
    def is_damage(self) -> bool:
        """Whether the file can be read up to a place."""
        return self.kind == "cut off or damaged"

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"
