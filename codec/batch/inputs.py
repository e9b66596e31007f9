"""The inputs of a batch: the files that paths, folders, patterns and lists name."""

import codecs
import glob
import gzip
import io
import os
import zlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

from codec.audio.suffixes import AUDIO_SUFFIXES
from codec.batch.report import Failure
from codec.errors import UserError
from codec.runtime.file_walk import FoundFiles, count_suffixes, describe_left_out, find_files, list_folders


@dataclass(frozen=True)
class Inputs:
    """The files of a batch."""

    files: list[tuple[Path, Path]] = field(default_factory=list)
    """Each file with its path in the tree of its source."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Files of other kinds in the folders and patterns, counted by suffix."""
    failures: list[Failure] = field(default_factory=list)
    """Folders that could not be listed."""


@dataclass(frozen=True)
class FileKinds:
    """Kinds of files that a command takes from folders and patterns."""

    name: str
    """Name in messages, in the plural."""
    suffixes: Collection[str]
    """Suffixes in lower case and with their dot."""
    companions: tuple[str, ...] = ()
    """Patterns of file names that are expected in the same folders, such as earlier outputs: neither taken nor counted
    as left out."""

    def has_companion(self, path: Path) -> bool:
        """Check whether a file is expected in the same folders.

        Args:
            path: the file

        Returns:
            Whether its name matches one of the companions.
        """
        return any(fnmatch(path.name.lower(), pattern) for pattern in self.companions)


NAC = ".nac"
"""Suffix of coded files."""

AUDIO_FILES = FileKinds("audio files", AUDIO_SUFFIXES, companions=(f"*{NAC}", "tokens-*.tar"))
"""Files that are encoded, to ``.nac`` files or to tokens. Earlier outputs may be in the same folders."""

_ENCODINGS = {
    codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16",
}  # fmt: skip
"""Encodings by byte order mark. UTF-32 comes first, because its mark begins with that of UTF-16 (FF FE)."""


def read_text(path: Path, kind: str) -> str:
    """Read a text file in UTF-8 or, with a byte order mark, UTF-16 or UTF-32.

    Args:
        path: the file; it is unpacked if its name ends in ``.gz``
        kind: kind of file, for messages

    Returns:
        The text. Bytes that are not UTF-8 become surrogates, since file names need not be valid text.

    Raises:
        UserError: the file cannot be read, or is not text.
    """
    return "".join(read_lines(path, kind))


def read_lines(path: Path, kind: str, newline: str = "\n") -> Iterator[str]:
    """Read a text file line by line, see :func:`read_text`.

    Args:
        path: the file
        kind: kind of file, for messages
        newline: end of the lines; ``""``: any of LF, CR and CR LF

    Yields:
        The lines with their ends.

    Raises:
        UserError: the file cannot be read, or is not text.
    """
    unpack = gzip.open if path.suffix.lower() == ".gz" else open
    try:
        with unpack(path, "rb") as data:
            head = data.read(4)
            encoding = next((name for mark, name in _ENCODINGS.items() if head.startswith(mark)), "utf-8")
            errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
            data.seek(0)
            for line in io.TextIOWrapper(data, encoding, errors, newline=newline):
                if "\0" in line:
                    raise UserError(f"{path}: this {kind} is not text in UTF-8, for it holds NUL; save it as UTF-8")
                yield line
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: this {kind} is incomplete ({error.reason}); save it as UTF-8") from error
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{path}: this {kind} cannot be read ({reason})") from error


def read_path_list(path: Path) -> list[Path]:
    """Read a list of paths.

    Args:
        path: a text file with one path per line, see :func:`read_text`

    Returns:
        The paths in their order.

    Raises:
        UserError: the file cannot be read, is not text, or names nothing.
    """
    if paths := [Path(line.rstrip("\r\n")) for line in read_lines(path, "list") if line.strip()]:
        return paths
    raise UserError(f"{path}: no paths in this list; write one per line")


def find_inputs(sources: Sequence[Path], kinds: FileKinds, lists: Sequence[Path] = ()) -> Inputs:
    """Find the files of a batch, and the path of each in a tree that the outputs keep.

    The tree begins at a folder that is named, at the part of a pattern before its first wildcard, or at the folder that
    all entries of a list have in common.

    Args:
        sources: files, folders, and patterns with ``*``, ``?``, ``[…]`` and ``**``. A file given by its name may have
            any suffix.
        kinds: kinds of files used from folders and patterns, see :mod:`codec.runtime.file_walk`; others are counted
        lists: text files that name further sources, one per line

    Returns:
        The files, those left out, and folders that could not be listed.

    Raises:
        UserError: nothing is named, or a folder or pattern has no such file.
    """
    everything = _Search(kinds)
    files = [pair for source in sources for pair in everything.search(Path(source))]
    for path in lists:
        files += below_common([pair for source in read_path_list(path) for pair in everything.search(source)])
    if not files:
        raise UserError(f"no {kinds.name} given; name files, folders or patterns, or a --list of them")
    left_out = everything.others - {path for path, _ in files}
    return Inputs(
        files,
        count_suffixes(path for path in left_out if not kinds.has_companion(path)),
        [Failure(path, f"{path}: cannot be listed ({reason})") for path, reason in everything.unlisted.items()],
    )


def below_common(found: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Place files in one tree, below the deepest folder that holds the trees of all.

    Args:
        found: files, each with its path in the tree of its source

    Returns:
        The same files, each with its path below this folder.
    """
    whole = {path: Path(os.path.abspath(path)) for path, _ in found}
    roots = [whole[path].parents[len(relative.parts) - 1] for path, relative in found]
    common = os.path.commonpath(roots)
    return [(path, whole[path].relative_to(common)) for path, _ in found]


class _Search:
    """Search of all sources, which records the files left out."""

    def __init__(self, kinds: FileKinds) -> None:
        self._kinds = kinds
        self.others: set[Path] = set()
        self.unlisted: dict[Path, str] = {}

    def search(self, source: Path) -> Iterator[tuple[Path, Path]]:
        """Yield files, each with its path in the tree. A file that is named need not exist; its turn reports that."""
        if source.is_dir():
            root, found = source, find_files(source, self._kinds.suffixes)
            self._check(found, f"{source}: no {self._kinds.name} in this folder")
        elif glob.has_magic(str(source)) and not source.exists():
            root, found = _fixed(source), _matches(source, self._kinds.suffixes)
            self._check(found, f"{source}: no {self._kinds.name} match this pattern")
        else:
            root, found = source.parent, FoundFiles([source])
        for path in found.files:
            yield path, path.relative_to(root)

    def _check(self, found: FoundFiles, nothing: str) -> None:
        self.others.update(found.others)
        self.unlisted.update(found.unlisted)
        if not found.files:
            for path, reason in found.unlisted.items():
                raise UserError(f"{path}: cannot be listed ({reason})")
            counts = count_suffixes(path for path in found.others if not self._kinds.has_companion(path))
            raise UserError(nothing + (f"; {describe_left_out(counts)}" if counts else ""))


def _matches(pattern: Path, suffixes: Collection[str]) -> FoundFiles:
    """Return the files that match, and those in folders that match; each once."""
    matches = sorted(set(map(Path, _expand(str(pattern)))))
    below = find_files([path for path in matches if path.is_dir()], suffixes)
    named = [path for path in matches if not path.is_dir()]
    each: dict[str, Path] = {}
    for path in (*named, *below.files, *below.others):
        each.setdefault(os.path.join(os.path.realpath(path.parent), path.name), path)
    files = sorted(path for path in each.values() if path.suffix.lower() in suffixes)
    return FoundFiles(files, sorted(set(each.values()) - set(files)), below.unlisted)


def _expand(pattern: str) -> Iterator[str]:
    """Yield the paths that a pattern matches. Unlike with glob, loops of links end in ``**``."""
    head, stars, rest = _split(pattern)
    if not stars:
        yield from glob.glob(pattern)
        return
    for top in glob.glob(os.path.join(head, "")) if head else [""]:
        if not rest:
            yield top or "."
            continue
        for folder, _ in list_folders([Path(top)], {}):
            inside = "" if top == "" and folder == "." else glob.escape(folder)
            yield from _expand(os.path.join(inside, rest))


def _split(pattern: str) -> tuple[str, bool, str]:
    """Split at the first component that is ``**``."""
    parts = Path(pattern).parts
    if "**" not in parts:
        return pattern, False, ""
    at = parts.index("**")
    return str(Path(*parts[:at])) if at else "", True, str(Path(*parts[at + 1 :])) if at + 1 < len(parts) else ""


def _fixed(pattern: Path) -> Path:
    """Return the folders before the first wildcard."""
    return next(parent for parent in pattern.parents if not glob.has_magic(str(parent)))
