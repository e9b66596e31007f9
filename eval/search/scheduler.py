"""``codec search run``: candidates drawn, judged and, if they are good, trained on; any number of processes at once.

What is known lies in files that are written whole or not at all, who works on what is said by locks that the system
releases. So a process that was killed leaves nothing to repair: the same command, or another process, goes on.
"""

import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from optuna.trial import TrialState

from codec.dataset.packed import open_split
from codec.errors import UserError
from codec.model.codec import Codec
from codec.runtime.atomic_files import make_folder, write_text
from codec.runtime.command import running_command
from codec.runtime.file_lock import Lock
from codec.runtime.json_files import from_json, read_json
from eval.evaluation.clip_selection import choose_excerpts, selects
from eval.evaluation.codec_scores import CodecScores
from eval.metrics.registry import metric
from eval.search.candidate import Candidate, Footprint
from eval.search.cost import Size, measure_memory, measure_speed
from eval.search.operating_candidates import OperatingPoints
from eval.search.pareto import best_first
from eval.search.plan import SearchPlan, read_search_plan
from eval.search.publish import publish
from eval.search.recipe_candidates import Designs
from eval.search.results import Entry, Found, SearchResult, costs, summarise
from eval.search.sampler import ARMS, Arm, Proposal, open_storage
from eval.search.space import Settings
from eval.systems.architectures import SpeedSubject

RECORD = "search.json"
POLL_S = 0.5
PICTURE_EVERY_S = 60.0
WAIT = "wait"


class Kind(Protocol):
    """What differs between kinds of candidates."""

    reference: SpeedSubject
    """What all speeds are relative to."""
    sample_rate: int
    channels: int

    def size(self, settings: Settings) -> Size:
        """Raises ``UserError`` where the settings do not fit together."""

    def system(self, settings: Settings) -> SpeedSubject: ...

    def codec(self, settings: Settings) -> Codec: ...

    def judge(self, settings: Settings, folder: Path, rung: int, seed: int) -> CodecScores:
        """On all clips of both halves. Raises ``UserError`` where training fails."""


@dataclass(frozen=True)
class Job:
    """A candidate whose lock is held, to be judged at the end of a rung."""

    candidate: Candidate
    rung: int
    seed: int


def search(
    name: str,
    data: Path,
    out: Path,
    *,
    storage: str | None = None,
    show: Callable[[SearchResult], None] = lambda result: None,
) -> SearchResult:
    """Works on the search of the plan ``name`` until nothing is left to do, and writes what came of it into ``out``.

    Args:
        storage: URL of a database in place of a journal file in ``out``.
        show: is given what is known so far after each candidate.

    Raises:
        UserError: whatever is wrong with plan, data, storage or ``out``, or a full disk; the same call goes on.
    """
    plan = read_search_plan(name)
    if metric(plan.metric).absent:
        raise UserError(f"{plan.metric} is to decide, but is {metric(plan.metric).missing}")
    make_folder(out)
    return _Search(plan, name, data, out, storage).work(show)


class _Search:
    def __init__(self, plan: SearchPlan, name: str, data: Path, out: Path, storage: str | None):
        self.plan, self.data, self.out = plan, data, out
        self.kind: Kind = Designs(plan, data, out) if plan.kind == "design" else OperatingPoints(plan, data, out)
        self._check_halves()
        self.lock = Lock(out / "locks" / "search")
        with self.lock.held():
            label = self._claim(name)
            opened = open_storage(out, storage)
            self.arms = [Arm(arm, label, plan, opened) for arm in ARMS]
        words = ["codec", "search", "run", name, "--data", data, "--out", out]
        self.command = running_command(*words, *([] if storage is None else ["--storage", storage]))
        self.drawn = time.monotonic()
        self.asked = {"clips": plan.clips, "metric": plan.metric}

    def _check_halves(self) -> None:
        open_split(self.data, "train", self.kind.sample_rate, self.kind.channels)
        split = open_split(self.data, "val", self.kind.sample_rate, self.kind.channels)
        metric_ = metric(self.plan.metric)
        clips = choose_excerpts(split, self.plan.clips)
        meant = [clip for clip in clips if metric_.applies(clip.domain, self.kind.sample_rate)]
        halves = {selects(clip.group) for clip in meant}
        if len(halves) < 2:
            raise UserError(
                f"{self.data}: among {len(meant)} validation clips for {self.plan.metric} there are not both groups"
                " that select and groups that report; prepare more groups, or raise the plan's clips"
            )

    def _claim(self, name: str) -> str:
        """The search's name in the storage. ``out`` holds one search for good."""
        path = self.out / RECORD
        wanted = json.loads(json.dumps({"plan": asdict(self.plan), "data": str(self.data.resolve())}))
        if path.is_file():
            try:
                before = read_json(path)
                changed = [key for key in wanted["plan"] if before["plan"].get(key) != wanted["plan"][key]]
                if changed or before["data"] != wanted["data"]:
                    what = changed[0] if changed else "data"
                    raise UserError(f"{self.out}: holds a search with another {what}; choose another --out")
                return str(before["id"])
            except (ValueError, KeyError, AttributeError) as error:
                raise UserError(f"{path}: damaged; choose another --out") from error
        label = f"lathe-{uuid.uuid4().hex[:12]}"
        write_text(path, json.dumps({"id": label, "name": name, **wanted}, indent=1) + "\n")
        return label

    # --- the loop ---------------------------------------------------------------------------------

    def work(self, show: Callable[[SearchResult], None]) -> SearchResult:
        while (job := self._next()) is not None:
            if isinstance(job, str):
                time.sleep(POLL_S)
                continue
            try:
                self._do(job)
            finally:
                job.candidate.lock.release()
            with self.lock.held():
                self._settle(job.candidate)
                if (end := job.candidate.end) is not None and end.refused:
                    continue
                result = self._publish(picture=time.monotonic() - self.drawn > PICTURE_EVERY_S)
            show(result)
        with self.lock.held():
            return self._publish(picture=True)

    def _publish(self, *, picture: bool) -> SearchResult:
        result = self._result()
        publish(result, self.out, self.command, picture=picture)
        if picture:
            self.drawn = time.monotonic()
        return result

    def _next(self) -> Job | str | None:
        """What to do now; :data:`WAIT` where all that is left depends on other processes; None where nothing is."""
        with self.lock.held():
            waiting = False
            for arm in self.arms:
                for proposal in arm.proposals(TrialState.RUNNING):  # of processes that died, or are at it
                    job = self._taken(arm, proposal)
                    if job is not None:
                        return job
                    waiting = waiting or bool(proposal.settings)
            for arm in sorted(self.arms, key=Arm.counted):
                while arm.counted() < self.plan.candidates and not arm.exhausted:
                    if (job := self._taken(arm, arm.draw())) is not None:
                        return job
            if waiting or any(arm.proposals(TrialState.RUNNING) for arm in self.arms):
                return WAIT
            return self._next_on_rungs()

    def _taken(self, arm: Arm, proposal: Proposal) -> Job | None:
        """A job, unless it is another process's, or done, or no candidate."""
        if not proposal.settings or self._repeated(arm, proposal):
            arm.refused(proposal.number)
            return None
        candidate = self._candidate(proposal.settings)
        if self._tell(arm, proposal, candidate) or not candidate.lock.acquire(wait=False):
            return None
        return Job(candidate, 0, self.plan.seeds[0])

    def _repeated(self, arm: Arm, proposal: Proposal) -> bool:
        others = arm.proposals(TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING)
        return any(other.number < proposal.number and other.settings == proposal.settings for other in others)

    def _next_on_rungs(self) -> Job | str | None:
        for rung in range(1, self.plan.rungs):
            found = self._free([candidate for candidate in self._on_rung(rung)], rung, self.plan.seeds[0])
            if found is not None:
                return found
        for seed in self.plan.seeds[1:]:
            found = self._free(self._finalists(), self.plan.last_rung, seed)
            if found is not None:
                return found
        return None

    def _free(self, candidates: Sequence[Candidate], rung: int, seed: int) -> Job | str | None:
        state: str | None = None
        for candidate in candidates:
            if candidate.end is None and self._judged(candidate, rung, seed) is None:
                if candidate.lock.acquire(wait=False):
                    return Job(candidate, rung, seed)
                state = WAIT
        return state

    def _do(self, job: Job) -> None:
        """Failures are written down; but not those of the disk, after which the same command should try again."""
        candidate = job.candidate
        if candidate.end is not None or self._judged(candidate, job.rung, job.seed) is not None:
            return  # another process was faster
        try:
            if (reason := self._refusal(candidate)) != "":
                candidate.refuse(reason)
                return
            judged = self.kind.judge(candidate.settings, candidate.folder, job.rung, job.seed)
            costs(judged, self._footprint(candidate), self.plan.metric)
            candidate.keep_judged(job.rung, job.seed, judged, self.asked)
        except Exception as error:
            if isinstance(error, OSError) or isinstance(error.__cause__, OSError):
                raise
            what = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            candidate.fail((what.splitlines() or ["no reason given"])[0])

    def _refusal(self, candidate: Candidate) -> str:
        """Why nothing is to be spent on it, or nothing. Measures what is not known yet."""
        if candidate.footprint is not None:
            return ""
        limits = self.plan.constraints
        try:
            size = self.kind.size(candidate.settings)
        except UserError as error:
            return str(error)
        if excess := size.excess(limits):
            return excess
        memory = measure_memory(self.kind.codec(candidate.settings)) if limits.memory_mb else None
        if memory is not None and memory > limits.memory_mb:
            return f"{memory:.0f} MB of memory, at most {limits.memory_mb:g} allowed"
        speed = measure_speed(self.kind.system(candidate.settings), self.kind.reference, self.out)
        candidate.keep(Footprint(size, speed, memory))
        return ""

    def _settle(self, candidate: Candidate) -> None:
        """Tells the arms that have drawn it what became of it."""
        for arm in self.arms:
            for proposal in arm.proposals(TrialState.RUNNING):
                if proposal.settings == candidate.settings:
                    self._tell(arm, proposal, candidate)

    def _tell(self, arm: Arm, proposal: Proposal, candidate: Candidate) -> bool:
        """Whether there was something to tell. A candidate that failed on a later rung was judged on the first."""
        judged = self._judged(candidate, 0, self.plan.seeds[0])
        end = candidate.end
        if judged is not None:
            arm.judged(proposal.number, costs(judged, self._footprint(candidate), self.plan.metric))
        elif end is not None and end.refused:
            arm.refused(proposal.number)
        elif end is not None:
            arm.failed(proposal.number)
        return judged is not None or end is not None

    # --- what is known ----------------------------------------------------------------------------

    def _candidate(self, settings: Settings) -> Candidate:
        return Candidate(self.out, settings)

    def _judged(self, candidate: Candidate, rung: int, seed: int) -> CodecScores | None:
        return candidate.judged(rung, seed, self.asked)

    def _footprint(self, candidate: Candidate) -> Footprint:
        found = candidate.footprint
        assert found is not None
        return found

    def _costs(self, candidate: Candidate, rung: int) -> list[float]:
        judged = self._judged(candidate, rung, self.plan.seeds[0])
        assert judged is not None
        return costs(judged, self._footprint(candidate), self.plan.metric)

    def _on_rung(self, rung: int) -> list[Candidate]:
        """Who gets there: the best of each arm, and the hand-written default, to compare them with."""
        default = self._candidate(self.plan.starts[0])
        members = {default.key: default} if self._judged(default, 0, self.plan.seeds[0]) is not None else {}
        for arm in self.arms:
            members |= {candidate.key: candidate for candidate in self._members(arm, rung)}
        return list(members.values())

    def _members(self, arm: Arm, rung: int) -> list[Candidate]:
        if rung == 0:
            return [self._candidate(proposal.settings) for proposal in arm.proposals(TrialState.COMPLETE)]
        seed = self.plan.seeds[0]
        before = [c for c in self._members(arm, rung - 1) if self._judged(c, rung - 1, seed) is not None]
        order = best_first([self._costs(candidate, rung - 1) for candidate in before])
        return [before[i] for i in order[: -(-len(before) // self.plan.factor)]]

    def _finalists(self) -> list[Candidate]:
        """The front of the last rung, and the default."""
        wanted = {row.key for row in self._result().rows if row.front or row.default}
        return [candidate for candidate in self._on_rung(self.plan.last_rung) if candidate.key in wanted]

    def _result(self) -> SearchResult:
        found: dict[str, Found] = {}
        for arm in self.arms:
            states = TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING
            for number, proposal in enumerate(arm.proposals(*states)):
                if proposal.settings:
                    candidate = self._candidate(proposal.settings)
                    entry = found.setdefault(candidate.key, Found(candidate.key, candidate.settings, []))
                    entry.names.append(f"{arm.name} {number}")
        entries = [self._entry(entry) for entry in found.values()]
        refused = sum(len(arm.trials(TrialState.PRUNED)) for arm in self.arms)
        return summarise(self.plan, entries, self._finished_rung(), refused, self.data, self.out)

    def _finished_rung(self) -> int:
        """The highest rung on which there is nothing left to do, or the first."""
        finished = 0
        if any(arm.counted() < self.plan.candidates and not arm.exhausted for arm in self.arms):
            return finished
        for rung in range(1, self.plan.rungs):
            candidates = self._on_rung(rung)
            left = [c for c in candidates if c.end is None and self._judged(c, rung, self.plan.seeds[0]) is None]
            if left or not any(self._judged(c, rung, self.plan.seeds[0]) for c in candidates):
                break
            finished = rung
        return finished

    def _entry(self, found: Found) -> Entry:
        candidate = self._candidate(found.settings)
        end = candidate.end
        judged: dict[int, dict[int, CodecScores]] = {}
        for rung in range(self.plan.rungs):
            for seed in self.plan.seeds:
                if (scores := self._judged(candidate, rung, seed)) is not None:
                    judged.setdefault(rung, {})[seed] = scores
        return Entry(
            found.key,
            found.names,
            found.settings,
            found.settings == self.plan.starts[0],
            candidate.footprint,
            judged,
            "" if end is None else end.reason,
        )


@dataclass(frozen=True)
class SearchRecord:
    """What a search wrote about itself. ``plan``: the fields of a :class:`SearchPlan`."""

    plan: dict[str, Any]
    data: str


def read_search(out: Path) -> SearchRecord:
    """Raises ``UserError`` where there is no search in ``out``."""
    try:
        return from_json(SearchRecord, read_json(out / RECORD))
    except FileNotFoundError:
        raise UserError(f"{out}: no search here; give the --out of codec search run") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{out / RECORD}: damaged ({error})") from error
