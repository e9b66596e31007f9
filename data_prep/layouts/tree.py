"""The names below a folder, as recognisers see them, and what they return."""

import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from data_prep.entries import AudioEntry

MATCHING_SHARE = 0.9
"""Of the audio files below a folder must have the names of a corpus, so that it is taken for that corpus."""


@dataclass(frozen=True)
class FolderTree:
    """A folder: ``audio`` and ``others`` are the paths of all files below it, relative to it, sorted, with slashes."""

    root: Path
    audio: Sequence[str]
    others: Sequence[str]

    def below(self, name: str) -> "FolderTree":
        """Return the subfolder of this name."""
        return FolderTree(self.root / name, _below(self.audio, name), _below(self.others, name))

    @cached_property
    def names(self) -> frozenset[str]:
        """Names of the files in the folder itself that are no audio."""
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
    """A corpus that was recognised.

    Args:
        name: of the corpus, or of the kind of list.
        evidence: what it was recognised by.
        grouping: what one group is, in a word or two ("speaker", "song").
        domain: of all files; empty where the corpus does not say.
        groups: the group of a file by its path below the folder; empty where the corpus says nothing.
        recordings: likewise, what one recording is where that is more than a file.
        source: what the manifest calls the source of a file; None for the name of the folder.
        entries: the files, where a list names them, in place of those below the folder.
    """

    name: str
    evidence: str
    grouping: str
    domain: str = ""
    groups: Callable[[str], str] = lambda path: ""
    recordings: Callable[[str], str] = lambda path: ""
    source: Callable[[Path], str] | None = None
    entries: tuple[AudioEntry, ...] | None = field(default=None, repr=False)


def pattern(
    name: str,
    expression: str,
    *,
    evidence: str,
    grouping: str,
    domain: str,
    prefix: str = "",
    source: Callable[[Path], str] | None = None,
) -> Callable[[FolderTree], CorpusLayout | None]:
    """Make the recogniser of a corpus that is known by the names of its files.

    Args:
        expression: found in the path of each file below the folder; its part ``group`` is the group, and the part
            ``recording``, if it has one, what the files of one recording share.
        prefix: put before the group, for numbers that would mean something else in another corpus.
        source: see :class:`Layout`.
    """
    compiled = re.compile(expression)

    def part(path: str, wanted: str) -> str:
        match = compiled.search(path)
        found = match[wanted] if match and wanted in compiled.groupindex else ""
        return f"{prefix}{found}" if found else ""

    def recogniser(tree: FolderTree) -> CorpusLayout | None:
        # A few names spread over the folder decide for most folders that they are something else.
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


def stem(path: str) -> str:
    """Return the name of a file without folders and without its last suffix."""
    return PurePosixPath(path).stem
