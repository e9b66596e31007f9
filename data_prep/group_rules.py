"""Rules of ``--group-by``: what the user may write, and the name that each rule gives a file."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from codec.errors import UserError
from data_prep.entries import AudioEntry
from data_prep.tables import canonical_name

FOLDER, FILE, TIME = "folder", "file", "time"
"""Rules without an argument."""
LEVEL, REGEX, COLUMN = "level", "regex", "column"
"""Rules with an argument after a colon."""
REST = "rest:"
"""Beginning of rules for the files without a group of their own, where others are of a corpus or list."""

CONTAINERS = frozenset(
    "train training dev devel test testing val valid validation eval evaluation"
    " wav wavs wave waves flac mp3 ogg opus audio audios clips sounds".split()
)
"""Folder names that describe the storage or division of a corpus and define no groups."""

_FOR_REST = "folder, file, level:1 or regex:PATTERN"


@dataclass(frozen=True)
class GroupRule:
    """A rule by which files are grouped, see :func:`data_prep.groups.group_entries`."""

    text: str
    """The rule as the user wrote it."""
    kind: str
    """``folder``, ``file``, ``time``, ``level``, ``regex`` or ``column``."""
    argument: str = ""
    """What follows the colon."""
    of_rest: bool = False
    """The rule is only for files without a group of a corpus or list."""

    @classmethod
    def parse(cls, text: str) -> "GroupRule":
        """Read a rule.

        Args:
            text: the rule as the user wrote it.

        Returns:
            The rule.

        Raises:
            UserError: there is no such rule, or its argument is wrong.

        >>> rule = GroupRule.parse("rest:level:2")
        >>> rule.kind, rule.argument, rule.of_rest
        ('level', '2', True)
        """
        of_rest = text.startswith(REST)
        kind, colon, argument = text.removeprefix(REST).partition(":")
        if of_rest:
            _check_rest(text, kind)
        if kind in (FOLDER, FILE, TIME) and not colon:
            return cls(text, kind, "", of_rest)
        if kind in (LEVEL, REGEX, COLUMN):
            _check_argument(text, kind, argument)
            return cls(text, kind, argument, of_rest)
        raise UserError(
            f"--group-by {text} is no rule; use folder, file, time, level:1, regex:PATTERN or column:NAME; or"
            " rest:folder, rest:file, rest:level:1 or rest:regex:PATTERN for the files that are of no corpus or list"
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that the rule uses: none, or one, which may be written like the header of the list."""
        return tuple(dict.fromkeys((self.argument, canonical_name(self.argument)))) if self.kind == COLUMN else ()

    def applies_to(self, entry: AudioEntry) -> bool:
        """Return whether the rule decides the group of a file.

        Args:
            entry: the file.

        Returns:
            False for a rule for the rest, if a corpus or list gives the file a group.
        """
        return entry.plain or not self.of_rest

    def naming(self) -> Callable[[AudioEntry], str]:
        """Return the function that names the group of a file to which the rule applies.

        Returns:
            Function that returns an empty text for a file that the rule gives no name.
        """
        if self.kind == FOLDER:
            return folder_name
        if self.kind == LEVEL:
            return lambda entry: "/".join(folders_of(entry)[: int(self.argument)])
        if self.kind == REGEX:
            pattern = re.compile(self.argument)
            return lambda entry: first_match(pattern, entry)
        if self.kind == COLUMN:
            return lambda entry: next(
                (cell for name in self.columns if (cell := entry.fields.get(name, "").strip())), ""
            )
        return lambda entry: entry.recording or entry.relative


def _check_rest(text: str, kind: str) -> None:
    if text.removeprefix(REST).startswith(REST):
        raise UserError(f"--group-by {text} has rest: more than once; write it once, before {_FOR_REST}")
    if not kind:
        raise UserError(f"--group-by {text} has no rule after rest:, which is followed by {_FOR_REST}")
    if kind not in (FOLDER, FILE, LEVEL, REGEX):
        raise UserError(
            f"--group-by {text} is no rule; after rest:, use {_FOR_REST}, as in rest:folder, for the files that are of"
            " no corpus or list"
        )


def _check_argument(text: str, kind: str, argument: str) -> None:
    if kind == LEVEL and not (argument.isdecimal() and int(argument)):
        raise UserError(f"--group-by {text} needs a number of folders above 0, as in level:1")
    if kind == COLUMN and not argument:
        raise UserError(f"--group-by {text} needs the name of a column of the list, as in column:speaker")
    if kind == REGEX:
        try:
            groups = re.compile(argument).groups
        except (re.error, RecursionError, OverflowError) as error:
            raise UserError(f"--group-by {text} has no valid regular expression ({error})") from error
        if not groups:
            raise UserError(
                f"--group-by {text} marks no part of the path as the group; put brackets around that part, as in"
                " regex:([^/]+)"
            )


def folders_of(entry: AudioEntry) -> tuple[str, ...]:
    """Return the folders of a file below its source.

    Args:
        entry: the file.

    Returns:
        Their names, the outer ones first.
    """
    return PurePosixPath(entry.relative).parts[:-1]


def join_folders(folders: tuple[str, ...]) -> str:
    """Return the name of a group of files in the same folder.

    Args:
        folders: names of the folders below the source.

    Returns:
        Their names without :data:`CONTAINERS`, joined by slashes.
    """
    return "/".join(part for part in folders if part.lower() not in CONTAINERS)


def folder_name(entry: AudioEntry) -> str:
    """Return the name of the group of a file that is grouped by its folder.

    Args:
        entry: the file.

    Returns:
        The name; empty if the file is in no folder, or only in :data:`CONTAINERS`.
    """
    return join_folders(folders_of(entry))


def first_match(pattern: "re.Pattern[str]", entry: AudioEntry) -> str:
    """Return the part of a file's path that a pattern marks.

    Args:
        pattern: regular expression with a group.
        entry: the file.

    Returns:
        The first group of the match in the path below the source; empty if nothing matches.
    """
    match = pattern.search(entry.relative)
    return (match.group(1) or "") if match else ""
