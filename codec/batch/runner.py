"""Runs the queue of jobs of a batch: one after the other, concurrently in threads, or in processes.

Outputs that are up to date are skipped, so that the same call continues where it was stopped. Files other than earlier
outputs are not replaced. A file that fails is reported and does not stop the others.
"""

import contextlib
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from tqdm import tqdm

from codec.batch.inputs import Inputs
from codec.batch.jobs import AnyJob, BatchOptions, Job
from codec.batch.processes import run_in_processes
from codec.batch.progress import BatchProgress
from codec.batch.report import BatchReport, Failure, FileOutcome, Skipped
from codec.batch.threads import run_in_threads
from codec.coding.report import FileReport, Progress
from codec.errors import UserError
from codec.runtime.atomic_files import remove_abandoned_parts, temporary_path

_T = TypeVar("_T")


class BatchTask(ABC, Generic[AnyJob]):
    """Task that is run for each job. It can be pickled."""

    verb: ClassVar[str]
    """Name of the task in the progress bar."""

    @abstractmethod
    def find_up_to_date(self, job: AnyJob) -> list[Skipped]:
        """Compare an existing output, which is newer than its sources, with what would be written.

        Args:
            job: job with that output

        Returns:
            All sources of the job if the output is the same, otherwise nothing.

        Raises:
            UserError: the output is of another model or made with other options.
        """

    @abstractmethod
    def can_overwrite(self, job: AnyJob) -> bool:
        """Decide whether an existing file at the target, which is out of date, is an earlier output from this source.

        Args:
            job: job with that target

        Returns:
            Whether the file may be replaced.

        Raises:
            UserError: the source cannot be used.
        """

    @abstractmethod
    def expected_seconds(self, job: AnyJob) -> float:
        """Estimate the duration of the audio for the progress bar.

        Args:
            job: job that is about to run

        Returns:
            Seconds.

        Raises:
            UserError: the source cannot be used.
        """

    def describe_limit(self, job: AnyJob) -> str | None:
        """Describe why the result will differ from the request.

        Args:
            job: job that is about to run

        Returns:
            A sentence for the user, or None.
        """
        return None

    @abstractmethod
    def __call__(self, job: AnyJob, progress: Progress) -> FileReport | list[FileOutcome]:
        """Do the job.

        Args:
            job: job whose target is to be written
            progress: called after each block with the block's duration in seconds

        Returns:
            The outcome of its source, or of each of its sources.

        Raises:
            UserError: the job failed.
        """


@dataclass
class _Plan(Generic[AnyJob]):
    """The jobs to run, and the outcomes of the others."""

    expected: dict[Job, float] = field(default_factory=dict)
    """Seconds of audio of each job to run."""
    ended: dict[Job, list[FileOutcome]] = field(default_factory=dict)
    limit: str | None = None
    """The first answer of :meth:`BatchTask.describe_limit`."""


def run_batch(
    task: BatchTask[AnyJob],
    jobs: Sequence[AnyJob],
    options: BatchOptions,
    inputs: Inputs,
    note: Callable[[str], None] | None = None,
) -> BatchReport:
    """Do the jobs whose outputs are not up to date.

    Args:
        task: the task of each job
        jobs: the jobs, in the order of the report
        options: overwriting and concurrency
        inputs: result of the search for inputs; the report includes the files left out and folders not listed
        note: receives a sentence about the first job whose result will differ from the request

    Returns:
        The outcome of each source.

    Raises:
        UserError: a folder for the outputs cannot be made.
    """
    started = time.monotonic()
    _prepare_folders(jobs)
    plan = _plan(task, jobs, options.force)
    if note and plan.limit:
        note(plan.limit)
    left = [job for job in jobs if job in plan.expected]
    ended = plan.ended
    with BatchProgress(task.verb, plan.expected) as bar:
        for job, outcome in _outcomes(task, left, options, bar):
            ended[job] = outcome if isinstance(outcome, list) else [outcome]
            bar.end(job)
    outcomes = [outcome for job in jobs for outcome in ended[job]]
    return BatchReport(
        [one for one in outcomes if isinstance(one, FileReport)],
        [*(one for one in outcomes if isinstance(one, Failure)), *inputs.failures],
        sorted((one for one in outcomes if isinstance(one, Skipped)), key=lambda one: one.path),
        time.monotonic() - started,
        inputs.left_out,
    )


def _plan(task: BatchTask[AnyJob], jobs: Sequence[AnyJob], force: bool) -> _Plan[AnyJob]:
    """Look at each job once, with a progress bar if that takes long."""
    plan: _Plan[AnyJob] = _Plan()
    for job in tqdm(jobs, desc="check", unit="file", delay=1, leave=False):
        if not force and os.path.lexists(job.target) and (outcomes := _settle(task, job)):
            plan.ended[job] = outcomes
            continue
        try:
            plan.expected[job] = task.expected_seconds(job)
            plan.limit = plan.limit or task.describe_limit(job)
        except (OSError, UserError):
            plan.expected[job] = 0.0  # the error is reported when the job runs
    return plan


def _outcomes(
    task: BatchTask[AnyJob], jobs: list[AnyJob], options: BatchOptions, bar: BatchProgress
) -> Iterator[tuple[AnyJob, FileOutcome | list[FileOutcome]]]:
    work = partial(_attempt, task)
    if min(options.workers, len(jobs)) > 1:
        ended: Generator[tuple[AnyJob, Any]] = run_in_processes(work, jobs, options.workers, bar.advance)
    else:
        ended = run_in_threads(work, jobs, options.concurrent_files, bar.advance)
    with contextlib.closing(ended):
        yield from ended


def _attempt(task: BatchTask[AnyJob], job: AnyJob, progress: Progress) -> FileOutcome | list[FileOutcome]:
    try:
        return attempt(job.source, partial(task, job, progress))
    except BaseException:
        # an interrupt can come between the opening of a file and the block that would remove it
        temporary_path(job.target).unlink(missing_ok=True)
        raise


def attempt(source: Path, work: Callable[[], _T]) -> _T | Failure:
    """Call a function on behalf of a file, and turn errors that concern this file alone into a failure.

    Args:
        source: the file
        work: the function

    Returns:
        The result of ``work``, or the failure.

    Raises:
        ConnectionError: the process that receives the progress has ended.
    """
    try:
        return work()
    except UserError as error:
        return Failure(source, str(error))
    except ConnectionError:
        raise
    except OSError as error:
        return Failure(source, f"{source}: {error.strerror or error}")
    except (MemoryError, RecursionError) as error:
        return Failure(source, f"{source}: not enough memory ({type(error).__name__})")


def _prepare_folders(jobs: Sequence[Job]) -> None:
    """Make the folders of the outputs, and remove incomplete outputs of killed processes."""
    names: dict[Path, set[str]] = {}
    for job in jobs:
        names.setdefault(job.target.parent, set()).add(job.target.name)
    for folder in sorted(names):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot make this folder ({error.strerror})") from error
        remove_abandoned_parts(folder, names[folder])


def _settle(task: BatchTask[AnyJob], job: AnyJob) -> list[FileOutcome]:
    """Return the outcome of a job whose target exists; nothing if the job must run."""
    if skipped := _find_up_to_date(task, job):
        return list(skipped)
    overwrites = attempt(job.source, partial(task.can_overwrite, job))
    if isinstance(overwrites, Failure):
        return [overwrites]
    if overwrites:
        return []
    reason = "exists and is not an earlier output from this source; --force replaces it"
    return [Failure(job.source, f"{job.target}: {reason}")]


def _find_up_to_date(task: BatchTask[AnyJob], job: AnyJob) -> list[Skipped]:
    try:
        made = job.target.stat().st_mtime
        return task.find_up_to_date(job) if all(made >= path.stat().st_mtime for path in job.files) else []
    except (OSError, UserError):
        return []
