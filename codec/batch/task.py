"""A task of a batch: what is done for each job, and what becomes of a job whose output exists or that fails."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from codec.batch.jobs import AnyJob
from codec.batch.report import Failure, FileOutcome, Skipped
from codec.coding.report import FileReport, Progress
from codec.errors import UserError
from codec.runtime.atomic_files import temporary_path

_T = TypeVar("_T")


class BatchTask(ABC, Generic[AnyJob]):
    """Task that is run for each job. It can be pickled."""

    verb: ClassVar[str]
    """Name of the task in the progress bar."""
    model: Any
    """The model, or what finds it, with a method ``to`` that moves it to a device."""

    @abstractmethod
    def describe_result(self, job: AnyJob) -> str | None:
        """Describe everything that the output depends on, apart from the content of the sources.

        Args:
            job: any job

        Returns:
            A text that is the same if the output is; None if an existing output is never up to date.
        """

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


def run_job(task: BatchTask[AnyJob], job: AnyJob, progress: Progress) -> FileOutcome | list[FileOutcome]:
    """Run a job; an error that concerns its files alone becomes a failure.

    Args:
        task: task of the job
        job: the job
        progress: called after each block with the block's duration in seconds

    Returns:
        The outcome of its source, or of each of its sources.
    """
    try:
        return attempt(job.source, partial(task, job, progress))
    except BaseException:
        # an interrupt can come between the opening of a file and the block that would remove it
        temporary_path(job.target).unlink(missing_ok=True)
        raise


def settle(task: BatchTask[AnyJob], job: AnyJob) -> list[FileOutcome]:
    """Decide what becomes of a job whose target exists.

    Args:
        task: task of the job
        job: the job

    Returns:
        The outcome of each source, or nothing if the job must run.
    """
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
