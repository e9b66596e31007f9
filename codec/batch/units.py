"""Runs the jobs of a batch on a cluster, in units of several files or of one shard.

Each unit is done by one process: for each job, it skips an output that is up to date, or writes it beside its place and
renames it. A unit can therefore be done twice, after its process died or its report was lost, and the output is the
same as if it had been done once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from codec.batch.finished_units import UnitTable, unit_digest
from codec.batch.jobs import AnyJob, BatchOptions, Job
from codec.batch.report import Failure, FileOutcome, Skipped
from codec.batch.task import BatchTask, attempt, run_job, settle
from codec.batch.threads import run_by_length
from codec.coding.report import FileReport
from codec.distributed.cluster import Cluster, Resources, UnitFunction, unit_size
from codec.distributed.units import Lost
from codec.runtime.atomic_files import temporary_path
from codec.runtime.progress import ProgressBar


def run_in_units(
    task: BatchTask[AnyJob], jobs: Sequence[AnyJob], options: BatchOptions, cluster: Cluster, folder: Path
) -> dict[Job, list[FileOutcome]]:
    """Do the jobs whose outputs are not up to date on a cluster.

    Args:
        task: the task of each job
        jobs: the jobs
        options: overwriting and concurrency in each process
        cluster: computes the units
        folder: folder of the outputs, in which the table of finished units is

    Returns:
        The outcomes of each job.

    Raises:
        UserError: the cluster cannot be used, or the table cannot be written.
    """
    table = UnitTable(folder)
    ended: dict[Job, list[FileOutcome]] = {}
    digests: dict[int, str] = {}
    units: list[list[AnyJob]] = []
    for unit in ProgressBar(group_jobs(jobs), desc="check", unit="unit", delay=1, leave=False):
        described = [text for job in unit if (text := task.describe_result(job)) is not None]
        digest = unit_digest(unit, [task.verb, *described]) if len(described) == len(unit) else ""
        if digest and not options.force and table.is_finished(digest, unit):
            ended.update((job, [Skipped(path) for path in job.sources]) for job in unit)
        else:
            digests[len(units)] = digest
            units.append(unit)
    place = {job: number for number, unit in enumerate(units) for job in unit}
    left = dict(enumerate(map(len, units)))
    start = partial(_start, task, options, cluster.resources)
    with (
        ProgressBar(desc=task.verb, total=sum(map(_count_files, units)), unit="file", disable=not units) as bar,
        closing(cluster.run(start, units, _remove_parts)) as results,
    ):
        for job, outcomes in results:
            ended[job] = _give_up(job, outcomes) if isinstance(outcomes, Lost) else outcomes
            bar.update(len(job.sources))
            number = place[job]
            left[number] -= 1
            if left[number] == 0 and digests[number]:
                unit = units[number]
                table.record(digests[number], unit, [one for job in unit for one in ended[job]])
    return ended


def group_jobs(jobs: Sequence[AnyJob]) -> list[list[AnyJob]]:
    """Group jobs into units of about as many files each.

    Args:
        jobs: in any order

    Returns:
        The units; a job with many files, such as a shard of tokens, is a unit of its own.
    """
    size = unit_size(_count_files(jobs))
    units: list[list[AnyJob]] = []
    files = size
    for job in jobs:
        if files + len(job.sources) > size:
            units.append([])
            files = 0
        units[-1].append(job)
        files += len(job.sources)
    return units


def _count_files(jobs: Sequence[Job]) -> int:
    return sum(len(job.sources) for job in jobs)


def _give_up(job: Job, lost: Lost) -> list[FileOutcome]:
    return [Failure(job.source, f"{job.source}: {lost.reason}, as did those that tried it before")]


def _remove_parts(unit: Sequence[Job], writer: str) -> None:
    """Remove incomplete outputs of a process; if it still runs, unknown to us, it can no longer complete them."""
    for job in unit:
        temporary_path(job.target, writer).unlink(missing_ok=True)


def _start(task: BatchTask[Any], options: BatchOptions, resources: Resources) -> UnitFunction:
    import torch

    torch.set_num_threads(resources.threads)
    task.model.to(resources.device)
    return partial(_run_unit, task, options)


def _run_unit(task: BatchTask[AnyJob], options: BatchOptions, unit: Sequence[AnyJob]) -> list[list[FileOutcome]]:
    ended: dict[AnyJob, list[FileOutcome]] = {}
    for job in unit:
        if not options.force and os.path.lexists(job.target) and (outcomes := settle(task, job)):
            ended[job] = outcomes
    left = [job for job in unit if job not in ended]
    for job, outcome in _attempts(task, left, options.concurrent_files):
        ended[job] = outcome if isinstance(outcome, list) else [outcome]
    return [ended[job] for job in unit]


def _attempts(
    task: BatchTask[AnyJob], jobs: Sequence[AnyJob], concurrent_files: int | None
) -> Generator[tuple[AnyJob, FileOutcome | list[FileOutcome]], None, None]:
    def seconds(job: AnyJob) -> float:
        found = attempt(job.source, partial(task.expected_seconds, job))
        return 0.0 if isinstance(found, Failure) else found

    work = partial(_run_any_job, task)
    with closing(run_by_length(work, jobs, seconds, concurrent_files, lambda job, seconds: None)) as ended:
        yield from ended


def _run_any_job(
    task: BatchTask[AnyJob], job: AnyJob, progress: Callable[[float], None]
) -> FileReport | Failure | Skipped | list[FileOutcome]:
    """Run a job; whatever is wrong with one file of millions, the others go on."""
    try:
        return run_job(task, job, progress)
    except Exception as error:
        return Failure(job.source, f"{job.source}: {type(error).__name__}: {error}")
