"""The jobs of a batch: where the output of each file goes, and what can become of it."""

from collections.abc import Collection, Iterable, Sequence
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


def plan(found: Sequence[tuple[Path, Path]], out: Path, suffix: str) -> list[Job]:
    """Return a job for each file, its target under ``out`` as :func:`named` places it.

    Raises:
        UserError: two files have one target.
    """
    return one_each(Job(path, out / place.with_name(place.name + suffix)) for path, place in named(found))


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
