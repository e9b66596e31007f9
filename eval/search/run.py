"""``codec search run``: candidates are proposed, scored and, if they are good, trained on, by any number of processes.

The state is in files that are written whole or not at all, and locks that a process loses when it dies show who works
on what (:mod:`eval.search.locks`). A process that was killed therefore leaves nothing to repair; the same command, or
another process, goes on.
"""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from codec.dataset.location import DataLocation, open_split
from codec.errors import UserError
from codec.model.codec import Codec
from codec.runtime.atomic_files import make_folder
from codec.runtime.command import running_command
from eval.evaluation.clip_selection import MAX_EXCERPT_S, choose_excerpts, require_excerpts, selects
from eval.evaluation.codec_scores import CodecScores
from eval.metrics.registry import metric
from eval.search.candidate import Outcome
from eval.search.cost import CandidateCost, Size, measure_memory, measure_speed
from eval.search.locks import DatabaseLocks, FileLocks, SearchLock, SearchLocks, holding
from eval.search.objectives import compute_costs
from eval.search.operating_candidates import OperatingPointCandidates
from eval.search.plan import SearchPlan, read_search_plan
from eval.search.recipe_candidates import RecipeCandidates
from eval.search.report import write_pictures, write_tables
from eval.search.results import SearchResult, summarise_search
from eval.search.sampler import SAMPLERS, CandidateSampler, open_storage
from eval.search.scheduler import Idle, RungJob, find_next_job, tell_samplers
from eval.search.space import CandidateSettings
from eval.search.state import SearchState
from eval.search.store import CandidateStore, claim_folder, holds_candidates
from eval.systems.architectures import SpeedSubject

POLL_S = 0.5
REPORT_EVERY_S = 60.0
"""The page and the picture take a second to draw, which is too long after every candidate if candidates take a few."""


class CandidateType(Protocol):
    """Interface of a type of candidates: recipes, or operating points of a model."""

    reference: SpeedSubject
    """The default; all speeds are relative to it."""
    sample_rate: int
    channels: int

    def size(self, settings: CandidateSettings) -> Size:
        """Compute size and latency.

        Args:
            settings: settings of a candidate.

        Returns:
            Size and latency.

        Raises:
            UserError: the settings do not fit together.
        """

    def system(self, settings: CandidateSettings) -> SpeedSubject:
        """Build what is timed.

        Args:
            settings: settings of a candidate.

        Returns:
            Functions that encode and decode.
        """

    def codec(self, settings: CandidateSettings) -> Codec:
        """Build the codec whose memory is measured.

        Args:
            settings: settings of a candidate.

        Returns:
            The codec.
        """

    def score(self, settings: CandidateSettings, folder: Path, rung: int, seed: int) -> CodecScores:
        """Train a candidate up to the end of a rung, if it has to be trained, and score it on validation clips.

        Args:
            settings: settings of the candidate.
            folder: folder of the candidate.
            rung: number of the rung, from 0.
            seed: seed of the training.

        Returns:
            Scores of the clips of both halves.

        Raises:
            UserError: the training fails.
        """


def run_search(
    name: str,
    data: DataLocation,
    out: Path,
    *,
    storage: str | None = None,
    candidates: int | None = None,
    show: Callable[[SearchResult], None] = lambda result: None,
) -> SearchResult:
    """Work on a search until nothing is left to do, and write its results.

    Args:
        name: name or path of the plan.
        data: folder that ``codec prepare`` wrote, or another place, see :func:`codec.dataset.location.open_split`.
        out: folder of the search; if the search was begun there, it goes on.
        storage: URL of a database for the samplers; None: a journal file in ``out``.
        candidates: candidates of each sampler; None: as many as the plan has. A search that was begun goes on with more
            of them, not with fewer.
        show: called with the results after each candidate.

    Returns:
        All results.

    Raises:
        UserError: plan, data, storage or ``out`` cannot be used, or the disk is full; the same call goes on.
    """
    plan = read_search_plan(name)
    if candidates is not None:
        plan = replace(plan, candidates=candidates)
    if metric(plan.metric).absent:
        raise UserError(f"the metric of the plan, {plan.metric}, is {metric(plan.metric).missing}")
    make_folder(out)
    kind = RecipeCandidates if plan.kind == "design" else OperatingPointCandidates
    worked_on: CandidateType = kind(plan, data, out)
    _check_halves(plan, data, worked_on)
    words = ["codec", "search", "run", name, "--data", data, "--out", out]
    words += [] if storage is None else ["--storage", storage]
    words += [] if candidates is None else ["--candidates", str(candidates)]
    command = running_command(*words)
    # SQLite is a file, whose locks are those of the file system; and it can give a trial to two processes at once
    by_file = storage is None or storage.startswith("sqlite")
    locks = FileLocks(out) if by_file else DatabaseLocks(str(storage), f"lathe-{_digest(out)}")
    lock = locks("search")
    with holding(lock):
        identifier, plan = claim_folder(out, plan, name, data)
        opened = open_storage(out, storage)
        samplers = [CandidateSampler(sampler, identifier, plan, opened) for sampler in SAMPLERS]
        if holds_candidates(out) and not any(sampler.count_accepted() + sampler.count_pruned() for sampler in samplers):
            raise UserError(
                f"{out}: holds candidates that were proposed with another --storage; give that one, or choose another"
                " --out"
            )
    return _Worker(plan, data, out, command, worked_on, samplers, locks, lock).work(show)


def _digest(out: Path) -> str:
    """Name a search before it has an identifier; machines share its folder under one path."""
    return hashlib.sha256(str(out.resolve()).encode(errors="surrogateescape")).hexdigest()[:12]


def _check_halves(plan: SearchPlan, data: DataLocation, candidates: CandidateType) -> None:
    """Raise ``UserError`` unless the metric applies to clips of both halves."""
    open_split(data, "train", candidates.sample_rate, candidates.channels)
    split = open_split(data, "val", candidates.sample_rate, candidates.channels)
    used = metric(plan.metric)
    excerpts = choose_excerpts(split, plan.clips)
    require_excerpts(excerpts, data)
    clips = [clip for clip in excerpts if used.applies(clip.domain, candidates.sample_rate, clip.text)]
    if used.weigh_text is not None and not clips:
        raise UserError(
            f"{data}: none of the {len(excerpts)} validation clips has a text and lasts at most {MAX_EXCERPT_S:g} s, as"
            f" {plan.metric} needs; prepare the data with a list that has texts, or choose another metric"
        )
    if len({selects(clip.group) for clip in clips}) < 2:
        more = ", or raise clips in the plan" if len(excerpts) >= plan.clips else ""
        raise UserError(
            f"{data}: the {len(clips)} validation clips for {plan.metric} do not include groups that select and groups"
            f" that report; prepare more groups{more}"
        )


@dataclass
class _Worker:
    """A process that works on a search."""

    plan: SearchPlan
    data: DataLocation
    out: Path
    command: str
    """Goes on with the search."""
    candidates: CandidateType
    samplers: list[CandidateSampler]
    locks: SearchLocks
    lock: SearchLock
    """Lock of the search, held while looking for a job and while publishing."""
    reported: float = field(default_factory=time.monotonic)
    """Time at which the page was last drawn."""

    def work(self, show: Callable[[SearchResult], None]) -> SearchResult:
        while (job := self._find_job()) is not Idle.DONE:
            if job is Idle.WAIT:
                time.sleep(POLL_S)
                continue
            try:
                self._execute(job)
            finally:
                job.store.lock.release()
            if (result := self._settle(job)) is not None:
                show(result)
        with holding(self.lock):
            return self._publish(SearchState(self.plan, self.samplers, self.out, self.locks), report=True)

    def _find_job(self) -> RungJob | Idle:
        with holding(self.lock):
            return find_next_job(SearchState(self.plan, self.samplers, self.out, self.locks))

    def _execute(self, job: RungJob) -> None:
        """Do a job and store its result. A failure is also stored, except one of the disk, which the next run may not
        have.
        """
        store, record = job.store, job.store.read()
        if record.outcome is not None or record.get_scores(job.rung, job.seed) is not None:
            return  # another process was faster
        try:
            if record.cost is None and (reason := self._measure_cost(store)):
                store.write_outcome(Outcome(refused=True, reason=reason))
                return
            scores = self.candidates.score(store.settings, store.folder, job.rung, job.seed)
            cost = store.read().cost
            assert cost is not None
            compute_costs(scores, cost, self.plan.metric)  # an error here is one of the candidate
            store.write_scores(job.rung, job.seed, scores)
        except Exception as error:
            if isinstance(error, OSError) or isinstance(error.__cause__, OSError):
                raise
            message = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            store.write_outcome(Outcome(refused=False, reason=(message.splitlines() or ["no reason given"])[0]))

    def _measure_cost(self, store: CandidateStore) -> str:
        """Store the costs of a candidate, or return the reason why it is infeasible."""
        limits = self.plan.constraints
        try:
            size = self.candidates.size(store.settings)
        except UserError as error:
            return str(error)
        if violation := size.violation(limits):
            return violation
        memory = measure_memory(self.candidates.codec(store.settings)) if limits.memory_mb else None
        if memory is not None and memory > limits.memory_mb:
            return f"{memory:.0f} MB of memory, at most {limits.memory_mb:g} allowed"
        speed = measure_speed(self.candidates.system(store.settings), self.candidates.reference, self.out)
        store.write_cost(CandidateCost(size, speed, memory))
        return ""

    def _settle(self, job: RungJob) -> SearchResult | None:
        """Report to the samplers, and publish unless the candidate was pruned."""
        with holding(self.lock):
            state = SearchState(self.plan, self.samplers, self.out, self.locks)
            tell_samplers(state, job.store.settings)
            outcome = state.get_record(job.store.settings).outcome
            if outcome is not None and outcome.refused:
                return None
            return self._publish(state, report=time.monotonic() - self.reported > REPORT_EVERY_S)

    def _publish(self, state: SearchState, *, report: bool) -> SearchResult:
        result = summarise_search(state, self.data)
        write_tables(result, self.out, self.command)
        if report:
            write_pictures(result, self.out, self.command)
            self.reported = time.monotonic()
        return result
