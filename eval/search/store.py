"""The files of a search: ``search.json``, a folder for each candidate, and the locks between processes.

Each file is written whole or not at all. Any process may read any file; the process that works on a candidate holds its
lock, which it loses if it dies.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from codec.dataset.location import DataLocation, absolute_location
from codec.errors import UserError
from codec.runtime.atomic_files import make_folder, write_text
from codec.runtime.json_files import from_json, read_json
from eval.evaluation.codec_scores import CodecScores, read_scores, write_scores
from eval.search.candidate import CandidateRecord, Outcome, settings_key
from eval.search.cost import CandidateCost
from eval.search.locks import SearchLocks
from eval.search.plan import SearchPlan
from eval.search.space import CandidateSettings

SEARCH_RECORD, _CANDIDATES = "search.json", "candidates"
_COST, _OUTCOME = "candidate.json", "end.json"
_MAY_GROW = ("candidates", "rungs")
"""Fields of a plan that may be larger when a search goes on."""
_Content = TypeVar("_Content")


@dataclass(frozen=True)
class SearchRecord:
    """Content of ``search.json``."""

    plan: dict[str, Any]
    """The fields of a :class:`~eval.search.plan.SearchPlan`."""
    data: str


@dataclass(frozen=True)
class _CostFile:
    footprint: CandidateCost


class CandidateStore:
    """The folder and the lock of one candidate.

    Args:
        out: folder of the search.
        settings: settings of the candidate.
        plan: plan of the search.
        locks: locks of the search.
    """

    def __init__(self, out: Path, settings: CandidateSettings, plan: SearchPlan, locks: SearchLocks):
        self.settings = dict(settings)
        key = settings_key(settings)
        self.folder = out / _CANDIDATES / key
        self.lock = locks(key)
        self._plan = plan
        self._request = {"clips": plan.clips, "metric": plan.metric}

    def read(self) -> CandidateRecord:
        """Read all files of the candidate.

        Returns:
            Their present content.

        Raises:
            UserError: a file is damaged.
        """
        cost = _read(self.folder / _COST, _CostFile)
        scores: dict[int, dict[int, CodecScores]] = {}
        for rung in range(self._plan.rungs):
            for seed in self._plan.seeds:
                if found := read_scores(self._scores_path(rung, seed), self._request):
                    scores.setdefault(rung, {})[seed] = found[0]
        outcome = _read(self.folder / _OUTCOME, Outcome)
        return CandidateRecord(self.settings, None if cost is None else cost.footprint, outcome, scores)

    def write_cost(self, cost: CandidateCost) -> None:
        """Store the costs of the candidate.

        Args:
            cost: all costs.
        """
        self._write(_COST, {"footprint": asdict(cost)})

    def write_outcome(self, outcome: Outcome) -> None:
        """Store the outcome of a candidate that was pruned or failed.

        Args:
            outcome: pruned or failed, and the reason.
        """
        self._write(_OUTCOME, asdict(outcome))

    def write_scores(self, rung: int, seed: int, scores: CodecScores) -> None:
        """Store scores at the end of a rung.

        Args:
            rung: number of the rung, from 0.
            seed: seed of the training.
            scores: scores of all clips.
        """
        make_folder(self.folder)
        write_scores(self._scores_path(rung, seed), [scores], self._request)

    def _scores_path(self, rung: int, seed: int) -> Path:
        return self.folder / f"validation-rung{rung}-seed{seed}.json"

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        make_folder(self.folder)
        whole = {"name": self._plan.describe(self.settings), "settings": self.settings, **content}
        write_text(self.folder / name, json.dumps(whole, indent=1) + "\n")


def _read(path: Path, kind: type[_Content]) -> _Content | None:
    try:
        return from_json(kind, read_json(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: damaged; delete the folder {path.parent}") from error


def claim_folder(out: Path, plan: SearchPlan, name: str, data: DataLocation) -> tuple[str, SearchPlan]:
    """Write ``search.json``, or check that it describes the same search. A folder holds one search for good.

    A search may become longer: with more candidates or more rungs than before. It does not become shorter.

    Args:
        out: folder of the search.
        plan: plan of the search.
        name: name or path of the plan.
        data: prepared data.

    Returns:
        The identifier of the search, which names its studies in the storage; and the plan, as long as it was before or
        longer.

    Raises:
        UserError: ``out`` holds another search, or its ``search.json`` is damaged.
    """
    path = out / SEARCH_RECORD
    wanted = json.loads(json.dumps({"plan": asdict(plan), "data": absolute_location(data)}))
    if path.is_file():
        try:
            before = read_json(path)
            longer = {key: max(before["plan"][key], wanted["plan"][key]) for key in _MAY_GROW}
            plan, wanted["plan"] = replace(plan, **longer), {**wanted["plan"], **longer}
            known = {**before["plan"], **longer}
            changed = [key for key in wanted["plan"] if known.get(key) != wanted["plan"][key]]
            if changed or before["data"] != wanted["data"]:
                what = changed[0] if changed else "data"
                raise UserError(f"{out}: holds a search with another value of {what}; choose another --out")
            if known != before["plan"]:
                write_text(path, json.dumps({**before, "plan": known}, indent=1) + "\n")
            return str(before["id"]), plan
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{path}: damaged; choose another --out") from error
    identifier = f"lathe-{uuid.uuid4().hex[:12]}"
    write_text(path, json.dumps({"id": identifier, "name": name, **wanted}, indent=1) + "\n")
    return identifier, plan


def holds_candidates(out: Path) -> bool:
    """Determine whether a search has begun to measure candidates.

    Args:
        out: folder of the search.

    Returns:
        Whether there is a folder of a candidate.
    """
    return any((out / _CANDIDATES).glob("*"))


def read_search_record(out: Path) -> SearchRecord:
    """Read ``search.json``.

    Args:
        out: folder of the search.

    Returns:
        Plan and data.

    Raises:
        UserError: there is no search in ``out``, or the file is damaged.
    """
    try:
        return from_json(SearchRecord, read_json(out / SEARCH_RECORD))
    except FileNotFoundError:
        raise UserError(f"{out}: contains no search; give the folder that was --out of codec search run") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{out / SEARCH_RECORD}: damaged ({error})") from error
