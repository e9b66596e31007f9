"""The jobs of a batch: where the output of each file goes."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from codec.errors import UserError

if TYPE_CHECKING:
    from codec.distributed.cluster import Cluster


FILES_AT_ONCE = {1.0: 32, 5.0: 8}
"""Number of files that are computed together on a CPU, by the longest duration in seconds. The networks compute up to
5 s as a single block; longer files gain nothing. More files at once would take more memory than they save time."""


@dataclass(frozen=True)
class BatchOptions:
    """Options of a batch: overwriting and concurrency."""

    force: bool = False
    """Whether outputs that are up to date are written again, and any other files are replaced."""
    workers: "int | Cluster" = 1
    """Processes of one thread each, or a cluster; they write the same bytes as one process."""
    concurrent_files: int | None = None
    """Files in each process whose blocks are computed in common batches, which a GPU needs; on a CPU, the bytes are the
    same. None: what is fastest on a CPU, :data:`FILES_AT_ONCE`, and longer files one by one."""


@dataclass(frozen=True)
class Job:
    """A file to be written, and its sources."""

    source: Path
    """Name of the job in failures."""
    target: Path

    def __hash__(self) -> int:
        return hash(self.target)  # which paths remember

    @property
    def sources(self) -> tuple[Path, ...]:
        """Sources of the target; each has its own entry in the report."""
        return (self.source,)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that are read; a target older than one of them is out of date."""
        return self.sources


AnyJob = TypeVar("AnyJob", bound=Job)


def name_outputs(found: Sequence[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
    """Choose the name of each output, without a suffix.

    Args:
        found: files, each with its path in the tree of its source

    Returns:
        The same files, each with the path of its output in the tree of outputs. Files that differ only in their suffix,
        such as ``a.wav`` and ``a.mp3``, keep it.

    >>> names = ["a.wav", "a.mp3", "b.wav"]
    >>> [str(place) for _, place in name_outputs([(Path("in", name), Path(name)) for name in names])]
    ['a.wav', 'a.mp3', 'b']
    """
    stems = [relative.with_suffix("") for _, relative in found]
    names: dict[Path, set[Path]] = {}
    for stem, (_, relative) in zip(stems, found):
        names.setdefault(stem, set()).add(relative)
    return [(path, relative if len(names[stem]) > 1 else stem) for stem, (path, relative) in zip(stems, found)]


def unique_jobs(jobs: Iterable[AnyJob]) -> list[AnyJob]:
    """Drop jobs whose source was named twice.

    Args:
        jobs: in any order

    Returns:
        The jobs, one for each target, in the same order.

    Raises:
        UserError: two sources have one target.
    """
    first: dict[Path, AnyJob] = {}
    for job in jobs:
        other = first.setdefault(job.target, job)
        if other is not job and other.source.resolve() != job.source.resolve():
            raise UserError(
                f"{other.source} and {job.source} would both become {job.target}; give the folder that holds both,"
                " whose tree is preserved, or use two --out"
            )
    return list(first.values())


def names_file(out: Path, suffixes: Collection[str]) -> bool:
    """Decide whether an output path means a file rather than a folder.

    Args:
        out: the path
        suffixes: suffixes of files, in lower case and with their dot

    Returns:
        Whether it has one of the suffixes and no such folder exists.
    """
    return out.suffix.lower() in suffixes and not out.is_dir()


def with_target(jobs: Sequence[AnyJob], out: Path) -> list[AnyJob]:
    """Direct the only job to a file.

    Args:
        jobs: exactly one
        out: the file

    Returns:
        The job, with the file as its target.

    Raises:
        UserError: there are several jobs.
    """
    if len(jobs) > 1:
        raise UserError(f"{out}: one file, but {len(jobs)} are to be written; name a folder as --out")
    return [replace(job, target=out) for job in jobs]
