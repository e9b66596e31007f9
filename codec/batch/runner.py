"""Runs a batch, one file after the other, side by side or on several processes, with a progress bar, and sums it up.

Outputs that are there and good are skipped, so that the same call continues where it was stopped; other files than
earlier outputs are not replaced; a file that fails is reported and does not stop the others.
"""

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from tqdm import tqdm

from codec.audio.bandwidth import ABOVE_BAND_THRESHOLD
from codec.batch.inputs import Found
from codec.batch.jobs import Failure, Job, Kept
from codec.batch.processes import spread
from codec.batch.threads import run_in_threads
from codec.coding.files import FileReport, Progress
from codec.errors import UserError
from codec.runtime.atomic_files import remove_abandoned_parts
from codec.runtime.file_walk import describe_left_out

Outcome = FileReport | Failure | Kept
Result = TypeVar("Result")


@dataclass(frozen=True)
class Summary:
    """A batch in figures. Bytes and rates are those of the coded files that were written or decoded now, or of those
    of their packets that were read."""

    done: int
    skipped: int
    failed: int
    damaged: int
    """Of those done or skipped: something of them was lost."""
    hours: float
    """Of audio."""
    bytes: int
    payload_kbps: float
    """Of the range-coded codes alone."""
    kbps: float
    times_real_time: float
    """Audio over the time that the whole batch took, processes started included."""
    clipped_samples: int
    too_loud_samples: int
    above_band: int = 0
    """Sources with sound above the band of the model, see :mod:`codec.audio.bandwidth`."""
    pictures: int = 0
    """Of the sources; ``.nac`` files and shards hold none."""
    tags_left_out: int = 0
    """Tags of the sources that are too long for a ``.nac`` file."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Files of other kinds in the folders and patterns, counted by suffix."""

    def text(self) -> str:
        lines = [("files", f"{self.done} done, {self.skipped} were there already, {self.failed} failed")]
        if self.hours:
            lines += [
                ("audio", f"{self.hours:.3f} hours"),
                ("size", f"{self.bytes:,} bytes"),
                ("rate", f"{self.kbps:.2f} kbit/s, {self.payload_kbps:.2f} without headers and checksums"),
                ("speed", f"{self.times_real_time:.0f} x real time"),
            ]
        if self.damaged:
            lines.append(("damaged", f"{self.damaged} files, of which the moments named above are lost"))
        if self.clipped_samples:
            lines.append(("clipped", f"{self.clipped_samples:,} samples beyond full scale; --bits 32f keeps them"))
        if self.too_loud_samples:
            what = f"{self.too_loud_samples:,} samples of the sources are beyond full scale"
            lines.append(("loud", f"{what}, where models garble; scale these down to a peak of 1 (--json names them)"))
        if self.above_band:
            files = "1 file has" if self.above_band == 1 else f"{self.above_band} files have"
            what = f"{files} sound above the band of the model, which is not coded"
            lines.append(("band", f"{what}; use one of a higher sample rate (codec models; --json names them)"))
        if self.pictures or self.tags_left_out:
            lost = [f"{count:,} {what}" for count, what in (
                (self.pictures, "pictures of the sources, which .nac files do not hold"),
                (self.tags_left_out, "tags too long for a .nac file"),
            ) if count]  # fmt: skip
            lines.append(("without", ", ".join(lost)))
        if self.left_out:
            lines.append(("others", describe_left_out(self.left_out)))
        return "\n".join(f"{name:8}{value}" for name, value in lines)


@dataclass(frozen=True)
class BatchReport:
    """What became of each source."""

    reports: list[FileReport]
    failures: list[Failure]
    kept: list[Kept]
    """Sources whose outputs were there already, and good."""
    elapsed_seconds: float
    left_out: dict[str, int] = field(default_factory=dict)
    """Files of other kinds in the folders and patterns, counted by suffix."""

    def with_inputs(self, found: Found) -> "BatchReport":
        """Return the same with what the search for the inputs left out or could not list."""
        return replace(self, failures=[*self.failures, *found.failures], left_out=found.left_out)

    @property
    def damaged(self) -> dict[Path, tuple[tuple[float, float], ...]]:
        """Sources that are decoded, now or earlier, and what was lost of them: starts and ends in seconds."""
        lost = {report.source: report.lost for report in self.reports} | {kept.path: kept.lost for kept in self.kept}
        return {path: spans for path, spans in lost.items() if spans}

    @property
    def cut_off(self) -> dict[Path, float]:
        """Of these, the ones that were cut off, and from where on, in seconds, all is missing."""
        ends = {report.source: report.cut_off for report in self.reports}
        ends |= {kept.path: kept.cut_off for kept in self.kept}
        return {path: end for path, end in ends.items() if end is not None}

    @property
    def summary(self) -> Summary:
        seconds = sum(report.seconds for report in self.reports)
        payload = sum(report.bytes_payload for report in self.reports)
        size = sum(report.bytes_total for report in self.reports)
        stood_for = sum(report.bytes_seconds for report in self.reports)
        return Summary(
            done=len(self.reports),
            skipped=len(self.kept),
            failed=len(self.failures),
            damaged=len(self.damaged),
            hours=seconds / 3600,
            bytes=size,
            payload_kbps=8 * payload / stood_for / 1000 if stood_for else 0.0,
            kbps=8 * size / stood_for / 1000 if stood_for else 0.0,
            times_real_time=seconds / self.elapsed_seconds,
            clipped_samples=sum(report.clipped for report in self.reports),
            too_loud_samples=sum(report.too_loud for report in self.reports),
            above_band=sum(report.above_band > ABOVE_BAND_THRESHOLD for report in self.reports),
            pictures=sum(report.pictures for report in self.reports),
            tags_left_out=sum(report.tags_left_out for report in self.reports),
            left_out=self.left_out,
        )


class Task(Protocol):
    """What is done with each file. Can be pickled as long as it was not called."""

    @property
    def verb(self) -> str: ...

    def kept(self, job: Job) -> list[Kept]:
        """The sources, if the output, which is newer than them, is what would be written. May raise
        :class:`UserError` if not."""

    def may_replace(self, job: Job) -> bool:
        """Whether the file at the target, which is not what would be written, is an earlier output from this source.
        Raises :class:`UserError` where the source cannot be used."""

    def seconds(self, job: Job) -> float:
        """Of audio to expect, see :func:`codec.coding.files.expected_seconds`."""

    def __call__(self, job: Job, progress: Progress) -> FileReport | list[Outcome]:
        """Does it. Where a job has several files, what became of each."""


def run(task: Task, jobs: list[Job], force: bool, workers: int, lanes: int = 1) -> BatchReport:
    """Does what is left to do of the jobs: all, where ``force``; unless that, no file is replaced that is not an
    earlier output. More than one of ``workers`` are processes; without these, ``lanes`` jobs are done
    :func:`codec.batch.threads.run_in_threads`.

    Raises:
        UserError: a folder of the outputs cannot be made.
    """
    started = time.monotonic()
    _prepare_folders(jobs)
    there = [job for job in jobs if not force and os.path.lexists(job.target)]
    ended = {job: outcomes for job in there if (outcomes := _settled(job, task))}
    left = [job for job in jobs if job not in ended]
    with ProgressBar(task.verb, {job: _seconds(job, task) for job in left}) as bar:
        for job, outcome in _outcomes(task, left, workers, lanes, bar):
            ended[job] = outcome if isinstance(outcome, list) else [outcome]
            bar.end(job)
    outcomes = [outcome for job in jobs for outcome in ended[job]]
    return BatchReport(
        [one for one in outcomes if isinstance(one, FileReport)],
        [one for one in outcomes if isinstance(one, Failure)],
        sorted((one for one in outcomes if isinstance(one, Kept)), key=lambda one: one.path),
        time.monotonic() - started,
    )


def _outcomes(
    task: Task, jobs: list[Job], workers: int, lanes: int, bar: "ProgressBar"
) -> Iterator[tuple[Job, Outcome | list[Outcome]]]:
    work = partial(_attempt, task)
    several = min(workers, len(jobs)) > 1
    all_ended = spread(work, jobs, workers, bar.hear) if several else run_in_threads(work, jobs, lanes, bar.hear)
    with contextlib.closing(all_ended):
        yield from all_ended


def _attempt(task: Task, job: Job, progress: Progress) -> Outcome | list[Outcome]:
    return attempt(job.source, partial(task, job, progress))


def attempt(source: Path, work: Callable[[], Result]) -> Result | Failure:
    """What ``work`` returns, or the failure that its error is for this source."""
    try:
        return work()
    except UserError as error:
        return Failure(source, str(error))
    except ConnectionError:  # of what listens to the progress, not of the file
        raise
    except OSError as error:
        return Failure(source, f"{source}: {error.strerror or error}")
    except (MemoryError, RecursionError) as error:
        return Failure(source, f"{source}: takes more memory than there is ({type(error).__name__})")


class ProgressBar:
    """Files, hours of audio, speed and time left: a context manager."""

    def __init__(self, verb: str, planned: dict[Job, float]) -> None:
        """``planned``: the seconds of audio to expect of each job; the total is corrected where there are more, or
        fewer."""
        self._verb, self._planned, self._done = verb, planned, dict.fromkeys(planned, 0.0)
        self._started, self._files, self._passed, self._total = time.monotonic(), 0, 0.0, sum(planned.values())
        layout = "{desc} {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}{postfix}]"
        self._all = sum(len(job.sources) for job in planned)
        self._bar = tqdm(total=int(self._total), bar_format=layout, disable=not planned)
        self._show()

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def hear(self, job: Job, seconds: float) -> None:
        """So much more audio of this job is done."""
        self._passed += seconds
        self._done[job] += seconds
        self._plan(job, max(self._done[job], self._planned[job]))

    def end(self, job: Job) -> None:
        """Nothing more will be heard of this job, done or failed."""
        self._files += len(job.sources)
        self._plan(job, self._done[job])

    def _plan(self, job: Job, seconds: float) -> None:
        self._total += seconds - self._planned[job]
        self._planned[job] = seconds
        self._show()

    def _show(self) -> None:
        files = f"{self._verb} {self._files}/{self._all} files"
        hours = f"{self._passed / 3600:.2f}/{self._total / 3600:.2f} h"
        speed = self._passed / (time.monotonic() - self._started)
        self._bar.set_description_str(f"{files}, {hours}", refresh=False)
        self._bar.set_postfix_str(f"{speed:.0f} x real time", refresh=False)
        self._bar.total = max(1, math.ceil(self._total))
        done = self._bar.total if self._files == self._all else int(self._passed)
        self._bar.update(done - self._bar.n)


def _prepare_folders(jobs: list[Job]) -> None:
    """Make the folders of the outputs, and remove from them what killed processes had begun of these."""
    names: dict[Path, set[str]] = {}
    for job in jobs:
        names.setdefault(job.target.parent, set()).add(job.target.name)
    for folder in sorted(names):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{folder}: cannot make this folder ({error.strerror})") from error
        remove_abandoned_parts(folder, names[folder])


def _settled(job: Job, task: Task) -> list[Outcome]:
    """What becomes of a job by what is at its target already; nothing where the job is still to be done."""
    if kept := _kept(job, task):
        return list(kept)
    replaces = attempt(job.source, partial(task.may_replace, job))
    if isinstance(replaces, Failure):
        return [replaces]
    what = "is there already, and does not say that an earlier run made it of this source"
    return [] if replaces else [Failure(job.source, f"{job.target}: {what}; --force replaces it")]


def _kept(job: Job, task: Task) -> list[Kept]:
    try:
        made = job.target.stat().st_mtime
        return task.kept(job) if all(made >= path.stat().st_mtime for path in job.files) else []
    except (OSError, UserError):
        return []


def _seconds(job: Job, task: Task) -> float:
    """Return what the progress bar expects of a job: nothing where it cannot be read, which its turn reports."""
    try:
        return task.seconds(job)
    except (OSError, UserError):
        return 0.0
