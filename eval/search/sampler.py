"""What was drawn and what came of it: two arms as Optuna studies, in a journal file or a database.

Each proposal is drawn by a sampler of its own whose seed is the plan's and the proposal's number, so that a search that
was interrupted goes on as it would have.
"""

import hashlib
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from codec.errors import UserError
from codec.runtime.file_lock import Lock
from eval.search.plan import SearchPlan

ARMS = ("genetic", "random")
OBJECTIVES = 4
"""Quality, bit rate, encode and decode speed, each as a cost."""
JOURNAL = "study.journal"
LONGEST_LINE = 1 << 16
"""Of the journal, in bytes."""
TRIES = 50
"""Draws in a row that may be refused before an arm's space counts as exhausted."""


class _JournalLock(JournalFileOpenLock):
    """Optuna's own ones outlive a process that is killed. A line that such a process wrote in part is removed."""

    def __init__(self, journal: Path):
        self.journal, self.lock = journal, Lock(journal.with_suffix(".lock"))

    def acquire(self) -> bool:
        self.lock.acquire()
        with self.journal.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - LONGEST_LINE))
            torn = len(file.read().rpartition(b"\n")[2])
        if torn:
            os.truncate(self.journal, size - torn)
        return True

    def release(self) -> None:
        self.lock.release()


def open_storage(out: Path, url: str | None) -> BaseStorage:
    """The journal in ``out``, or the database. Raises ``UserError`` where it cannot be opened."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    try:
        if url is not None:
            return RDBStorage(url)
        journal = out / JOURNAL
        return JournalStorage(JournalFileBackend(str(journal), lock_obj=_JournalLock(journal)))
    except Exception as error:  # drivers raise anything
        raise UserError(f"{url or out}: the storage cannot be opened ({str(error).splitlines()[0]})") from error


@dataclass(frozen=True)
class Proposal:
    """Settings that an arm has drawn."""

    arm: str
    number: int
    settings: dict[str, Any]


class Arm:
    """One way to draw candidates."""

    def __init__(self, name: str, search: str, plan: SearchPlan, storage: BaseStorage):
        self.name, self.plan = name, plan
        self.distributions = {key: setting.distribution() for key, setting in plan.space.items()}
        self.study = optuna.create_study(
            storage=storage,
            study_name=f"{search}-{name}",
            directions=["minimize"] * OBJECTIVES,
            sampler=self._sampler(0),
            load_if_exists=True,
        )
        for start in plan.starts:
            drawn = {key: plan.space[key].to_drawn(value) for key, value in start.items()}
            self.study.enqueue_trial(drawn, skip_if_exists=True)

    def _sampler(self, number: int) -> BaseSampler:
        seed = len(ARMS) * (self.plan.seed * 1_000_003 + number) + ARMS.index(self.name)  # no draws in common
        if self.name == "random":
            return RandomSampler(seed=seed)
        return NSGAIISampler(population_size=self.plan.population, seed=seed)

    def trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states or None)

    def counted(self) -> int:
        """Proposals that were not refused."""
        return len(self.trials(TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING))

    @property
    def exhausted(self) -> bool:
        last = self.trials(TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING, TrialState.PRUNED)[-TRIES:]
        return len(last) == TRIES and all(trial.state == TrialState.PRUNED for trial in last)

    def draw(self) -> Proposal:
        self.study.sampler = self._sampler(len(self.trials()))
        return self.proposal(self.study.ask(self.distributions))

    def proposal(self, trial: FrozenTrial | optuna.Trial) -> Proposal:
        """Without settings where the process that drew it died before all were."""
        whole = trial.params.keys() == self.plan.space.keys()
        space = self.plan.space if whole else {}
        return Proposal(self.name, trial.number, {key: space[key].from_drawn(trial.params[key]) for key in space})

    def proposals(self, *states: TrialState) -> list[Proposal]:
        return [self.proposal(trial) for trial in self.trials(*states)]

    def judged(self, number: int, costs: Sequence[float]) -> None:
        self.study.tell(number, list(costs), skip_if_finished=True)

    def failed(self, number: int) -> None:
        self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def refused(self, number: int) -> None:
        """Not a candidate: it breaks a constraint, is no recipe, or was there before."""
        self.study.tell(number, state=TrialState.PRUNED, skip_if_finished=True)


def key_of(settings: Mapping[str, Any]) -> str:
    """Names the folder of a candidate: the same settings are the same candidate, whoever drew them."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:10]
