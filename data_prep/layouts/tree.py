"""Names below a folder, from which the layout of a corpus is recognised."""

import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

MATCHING_SHARE = 0.9
"""Smallest share of the audio files below a folder that must have the names of a corpus to be taken for it."""


@dataclass(frozen=True)
class FolderTree:
    """A folder with all files below it. Paths are relative to it and sorted, with forward slashes."""

    root: Path
    """Path of the folder."""
    audio: Sequence[str]
    """Paths of the audio files."""
    others: Sequence[str]
    """Paths of all other files."""

    def below(self, name: str) -> "FolderTree":
        """Return a subfolder.

        Args:
            name: name of the subfolder.

        Returns:
            The subfolder with the files below it.
        """
        return FolderTree(self.root / name, _below(self.audio, name), _below(self.others, name))

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of the files in the folder itself that are not audio."""
        return frozenset(path for path in self.others if "/" not in path)

    @cached_property
    def folders(self) -> tuple[str, ...]:
        """Names of the subfolders that hold audio or other files, at any depth."""
        return tuple(sorted({path.partition("/")[0] for path in (*self.audio, *self.others) if "/" in path}))


def _below(paths: Sequence[str], name: str) -> list[str]:
    # "0" is the character after "/", so this is where the folder's paths end.
    first, last = (bisect_left(paths, f"{name}{end}") for end in "/0")
    return [path[len(name) + 1 :] for path in paths[first:last]]


@dataclass(frozen=True)
class CorpusLayout:
    """Layout of a corpus that was recognised."""

    name: str
    """Name of the corpus, or of the type of list."""
    evidence: str
    """Files or folders by which it was recognised, for the user."""
    grouping: str
    """Meaning of a group, such as "speaker" or "song"; empty if there are none."""
    domain: str = ""
    """Domain of all files; empty if the corpus has none."""
    groups: Callable[[str], str] = lambda path: ""
    """Function of the path of a file below the folder: returns its group, empty if it has none."""
    recordings: Callable[[str], str] = lambda path: ""
    """Function of the same path: returns the name of the recording, if it has several files."""
    columns: Callable[[str], Mapping[str, str]] = lambda path: {}
    """Function of the same path: returns what the corpus states about the file, by the names of columns of lists."""
    source: Callable[[Path], str] | None = None
    """Function of the same path: returns the name of the source; None: the name of the folder."""
    lists: tuple[Path, ...] = ()
    """Lists that name its files; without one, all audio files below the folder are its files."""


def recogniser_by_names(
    name: str,
    expression: str,
    *,
    evidence: str,
    grouping: str,
    domain: str,
    prefix: str = "",
    source: Callable[[Path], str] | None = None,
) -> Callable[[FolderTree], CorpusLayout | None]:
    """Make the recogniser of a corpus with characteristic file names.

    Args:
        name: name of the corpus.
        expression: regular expression that matches the path of a file below the folder. Its group ``group`` is the
            group, and its group ``recording``, if there is one, the name that all files of a recording share.
        evidence: names of files and folders by which the corpus is recognised, for the user.
        grouping: meaning of a group, such as "speaker".
        domain: domain of all files.
        prefix: text before the group, for numbers that would mean something else in another corpus.
        source: see :class:`CorpusLayout`.

    Returns:
        Function that returns the layout of a folder, or None if fewer than :data:`MATCHING_SHARE` of its audio files
        match.
    """
    compiled = re.compile(expression)

    def part(path: str, wanted: str) -> str:
        match = compiled.search(path)
        found = match[wanted] if match and wanted in compiled.groupindex else ""
        return f"{prefix}{found}" if found else ""

    def recogniser(tree: FolderTree) -> CorpusLayout | None:
        # Most other folders are ruled out by a few names from all over the folder.
        if not any(compiled.search(path) for path in tree.audio[:: 1 + len(tree.audio) // 10]):
            return None
        if sum(compiled.search(path) is not None for path in tree.audio) < MATCHING_SHARE * len(tree.audio):
            return None
        return CorpusLayout(
            name,
            evidence,
            grouping,
            domain,
            groups=lambda path: part(path, "group"),
            recordings=lambda path: part(path, "recording"),
            source=source,
        )

    return recogniser


def file_stem(path: str) -> str:
    """Return the name of a file without folders and without its last suffix.

    Args:
        path: path with forward slashes.

    Returns:
        The name.
    """
    return PurePosixPath(path).stem
