"""Runs the queue of jobs of a batch: one after the other, concurrently in threads, in processes, or on a cluster.

Outputs that are up to date are skipped, so that the same call continues where it was stopped. Files other than earlier
outputs are not replaced. A file that fails is reported and does not stop the others.
"""

import contextlib
import os
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Generic

from codec.batch.inputs import Inputs
from codec.batch.jobs import AnyJob, BatchOptions, Job
from codec.batch.processes import run_in_processes
from codec.batch.progress import BatchProgress
from codec.batch.report import BatchReport, Failure, FileOutcome, Skipped
from codec.batch.task import BatchTask, attempt, run_job, settle
from codec.batch.threads import group_by_length, run_by_length
from codec.batch.units import run_in_units
from codec.coding.report import FileReport
from codec.errors import UserError
from codec.runtime.atomic_files import remove_abandoned_parts
from codec.runtime.progress import ProgressBar


@dataclass
class _Plan(Generic[AnyJob]):
    """The jobs to run, and the outcomes of the others."""

    expected: dict[Job, float] = field(default_factory=dict)
    """Seconds of audio of each job to run."""
    ended: dict[Job, list[FileOutcome]] = field(default_factory=dict)
    limit: str | None = None
    """The first answer of :meth:`codec.batch.task.BatchTask.describe_limit`."""


def run_batch(
    task: BatchTask[AnyJob],
    jobs: Sequence[AnyJob],
    options: BatchOptions,
    inputs: Inputs,
    folder: Path,
    note: Callable[[str], None] | None = None,
) -> BatchReport:
    """Do the jobs whose outputs are not up to date.

    Args:
        task: the task of each job
        jobs: the jobs, in the order of the report
        options: overwriting and concurrency
        inputs: result of the search for inputs; the report includes the files left out and folders not listed
        folder: folder of the outputs
        note: receives a sentence about the first job whose result will differ from the request

    Returns:
        The outcome of each source.

    Raises:
        UserError: a folder for the outputs cannot be made, or a cluster cannot be used.
    """
    started = time.monotonic()
    _prepare_folders(jobs)
    if isinstance(options.workers, int):
        ended = _run_here(task, jobs, options, options.workers, note)
    else:
        _note_limit(task, jobs, note)
        ended = run_in_units(task, jobs, options, options.workers, folder)
    outcomes = [outcome for job in jobs for outcome in ended[job]]
    return BatchReport(
        [one for one in outcomes if isinstance(one, FileReport)],
        [*(one for one in outcomes if isinstance(one, Failure)), *inputs.failures],
        sorted((one for one in outcomes if isinstance(one, Skipped)), key=lambda one: one.path),
        time.monotonic() - started,
        inputs.left_out,
    )


def _run_here(
    task: BatchTask[AnyJob],
    jobs: Sequence[AnyJob],
    options: BatchOptions,
    workers: int,
    note: Callable[[str], None] | None,
) -> dict[Job, list[FileOutcome]]:
    plan = _plan(task, jobs, options.force)
    if note and plan.limit:
        note(plan.limit)
    left = [job for job in jobs if job in plan.expected]
    ended = plan.ended
    with BatchProgress(task.verb, plan.expected) as bar:
        for job, outcome in _outcomes(task, left, workers, options, plan.expected, bar):
            ended[job] = outcome if isinstance(outcome, list) else [outcome]
            bar.end(job)
    return ended


def _note_limit(task: BatchTask[AnyJob], jobs: Sequence[AnyJob], note: Callable[[str], None] | None) -> None:
    """Look at the first job alone: on a cluster, the others are looked at where they run."""
    limit = attempt(jobs[0].source, partial(task.describe_limit, jobs[0])) if note and jobs else None
    if note and isinstance(limit, str):
        note(limit)


def _plan(task: BatchTask[AnyJob], jobs: Sequence[AnyJob], force: bool) -> _Plan[AnyJob]:
    """Look at each job once, with a progress bar if that takes long."""
    plan: _Plan[AnyJob] = _Plan()
    for job in ProgressBar(jobs, desc="check", unit="file", delay=1, leave=False):
        if not force and os.path.lexists(job.target) and (outcomes := settle(task, job)):
            plan.ended[job] = outcomes
            continue
        try:
            plan.expected[job] = task.expected_seconds(job)
            plan.limit = plan.limit or task.describe_limit(job)
        except (OSError, UserError):
            plan.expected[job] = 0.0  # the error is reported when the job runs
    return plan


def _outcomes(
    task: BatchTask[AnyJob],
    jobs: list[AnyJob],
    workers: int,
    options: BatchOptions,
    expected: Mapping[Job, float],
    bar: BatchProgress,
) -> Iterator[tuple[AnyJob, FileOutcome | list[FileOutcome]]]:
    work, together = partial(run_job, task), options.concurrent_files
    if min(workers, len(jobs)) > 1:
        groups = group_by_length(jobs, expected.__getitem__, together, workers)
        ended: Generator[tuple[AnyJob, Any]] = run_in_processes(work, groups, workers, bar.advance)
    else:
        ended = run_by_length(work, jobs, expected.__getitem__, together, bar.advance)
    with contextlib.closing(ended):
        yield from ended


def _prepare_folders(jobs: Sequence[Job]) -> None:
    """Make the folders of the outputs, and remove incomplete outputs of killed processes."""
    names: dict[Path, set[str]] = {}
    for job in jobs:
        names.setdefault(job.target.parent, set()).add(job.target.name)
    for folder in sorted(names):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except FileExistsError as error:
            raise UserError(f"{folder}: this is a file; name a folder as --out") from error
        except OSError as error:
            raise UserError(f"{folder}: cannot make this folder ({error.strerror})") from error
        remove_abandoned_parts(folder, names[folder])
