"""What a batch is to do: each file that its inputs name, and where that file's output goes."""

import glob
import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from codec.errors import UserError


@dataclass(frozen=True)
class Job:
    source: Path
    target: Path

    @property
    def sources(self) -> tuple[Path, ...]:
        """What becomes the target; reports name each."""
        return (self.source,)

    @property
    def files(self) -> tuple[Path, ...]:
        """What is read."""
        return self.sources


@dataclass(frozen=True)
class Failure:
    path: Path
    reason: str
    """One line; names the path."""


@dataclass(frozen=True)
class Kept:
    """A source whose part of the output was there already, and good; but for what was ``lost``, from when to when in
    seconds, and missing from where it was ``cut_off``."""

    path: Path
    lost: tuple[tuple[float, float], ...] = ()
    cut_off: float | None = None


def read_list(path: Path) -> list[Path]:
    """Paths that stand in a text file, one a line. Raises :class:`UserError` where there are none."""
    try:
        lines = os.fsdecode(path.read_bytes()).split("\n")  # names need not be valid UTF-8
    except OSError as error:
        raise UserError(f"{path}: this list cannot be read ({error.strerror})") from error
    if paths := [Path(line.rstrip("\r")) for line in lines if line.strip()]:
        return paths
    raise UserError(f"{path}: no paths in this list; write one a line")


def plan(
    sources: Sequence[Path],
    out: Path,
    wanted: Collection[str],
    suffix: str,
    what: str,
    *,
    lists: Sequence[Path] = (),
) -> list[Job]:
    """A job for each file that :func:`find` finds, its target under ``out`` as :func:`named` says. Raises likewise,
    and where two files have one target."""
    found = named(find(sources, wanted, what, lists))
    return one_each(Job(path, out / place.with_name(place.name + suffix)) for path, place in found)


def named(found: Sequence[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """The same files, with their places in the tree of the outputs: without suffix, but for files that differ in
    nothing else, such as ``a.wav`` and ``a.mp3``."""
    names: dict[Path, set[Path]] = {}
    for _, relative in found:
        names.setdefault(relative.with_suffix(""), set()).add(relative)
    return [
        (path, relative if len(names[relative.with_suffix("")]) > 1 else relative.with_suffix(""))
        for path, relative in found
    ]


def find(
    sources: Sequence[Path], wanted: Collection[str], what: str, lists: Sequence[Path] = ()
) -> list[tuple[Path, Path]]:
    """Each file that the sources and the lists of sources name, and its place in the tree.

    A source is a file, a folder, or a pattern with ``*``, ``?``, ``[…]`` and ``**``. A file that is named is taken
    whatever its suffix, of folders and patterns only what has a ``wanted`` one and is not hidden. The tree below a
    folder, below the part of a pattern without wildcards, and below the folder that all of a list have in common is
    kept.

    Raises:
        UserError: a source without any file. ``what`` names the files.
    """
    found = [pair for source in sources for pair in _found(Path(source), wanted, what)]
    for path in lists:
        found += below_common([pair for source in read_list(path) for pair in _found(source, wanted, what)])
    if not found:
        raise UserError(f"no {what} given; name files, folders or patterns, or a --list of them")
    return found


def one_each(jobs: Iterable[Job]) -> list[Job]:
    """The jobs, each once. Raises :class:`UserError` where two sources have one target."""
    kept: dict[Path, Job] = {}
    for job in jobs:
        other = kept.setdefault(job.target, job)
        if other.source.resolve() != job.source.resolve():
            raise UserError(f"{other.source} and {job.source} would both become {job.target}; use two --out")
    return list(kept.values())


def is_file(out: Path, suffixes: Collection[str]) -> bool:
    """Whether an output with this name is meant as a file, not as a folder: by its suffix, unless there is such a
    folder."""
    return out.suffix.lower() in suffixes and not out.is_dir()


def into_file(jobs: Sequence[Job], out: Path) -> list[Job]:
    """The one job, with the file ``out`` for its target. Raises :class:`UserError` where there are several."""
    if len(jobs) > 1:
        raise UserError(f"{out}: one file, but {len(jobs)} are to be written; name a folder as --out")
    return [replace(job, target=out) for job in jobs]


def _found(source: Path, wanted: Collection[str], what: str) -> Iterator[tuple[Path, Path]]:
    """Files, and each one's place in the tree. A file that is named need not be there: that is reported in its turn."""
    if source.is_dir():
        files, root = _files(source, wanted), source
        if not files:
            raise UserError(f"{source}: no {what} in this folder")
    elif glob.has_magic(str(source)) and not source.exists():
        files, root = _matches(source, wanted), _fixed(source)
        if not files:
            raise UserError(f"{source}: no {what} match this pattern")
    else:
        files, root = [source], source.parent
    for path in files:
        yield path, path.relative_to(root)


def _files(folder: Path, wanted: Collection[str]) -> list[Path]:
    found = []
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        found += [Path(root) / name for name in sorted(names) if not name.startswith(".")]
    return [path for path in found if path.suffix.lower() in wanted]


def _matches(pattern: Path, wanted: Collection[str]) -> list[Path]:
    """Files that match, and those in folders that match; one that does both is there once."""
    found: dict[Path, None] = {}
    for path in map(Path, sorted(glob.glob(str(pattern), recursive=True))):
        inside = _files(path, wanted) if path.is_dir() else [path] if path.suffix.lower() in wanted else []
        found.update(dict.fromkeys(inside))
    return list(found)


def _fixed(pattern: Path) -> Path:
    """The folders ahead of the first wildcard."""
    return next(parent for parent in pattern.parents if not glob.has_magic(str(parent)))


def below_common(found: list[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """The same files, with their places below the deepest folder that holds the trees of all."""
    whole = {path: Path(os.path.abspath(path)) for path, _ in found}
    roots = [whole[path].parents[len(relative.parts) - 1] for path, relative in found]
    common = os.path.commonpath(roots)
    return [(path, whole[path].relative_to(common)) for path, _ in found]
