"""The answers of listeners, with intervals.

MUSHRA: means of ratings with 95 % intervals over listeners, and medians, after the post-screening of ITU-R BS.1534-3,
section 4.1.2: listeners who rate the hidden reference below 90 in more than 15 % of the trials, or an anchor above 90
in more than 15 %, are left out. ABX: shares of right answers with the interval of C. J. Clopper, E. S. Pearson (1934),
and the p value of the one-sided binomial test that they are guesses, corrected after Holm for the number of systems.
"""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from scipy.stats import binomtest

from codec.errors import UserError
from codec.runtime.json_files import from_json, read_json
from eval.listening.export import KEY
from eval.listening.sounds import LOW_ANCHOR, MID_ANCHOR
from eval.metrics.confidence import CONFIDENCE, estimate, holm, reported
from eval.pages.players import ORIGINAL
from eval.pages.text_table import Table

_DOWNLOADED = "a file that a listener downloaded"
SCREENED_RATING, SCREENED_SHARE = 90.0, 0.15

_Content = TypeVar("_Content")


@dataclass(frozen=True)
class _Stimulus:
    clip: str
    system: str


@dataclass(frozen=True)
class _Key:
    test: str
    kind: Literal["mushra", "abx"]
    stimuli: dict[str, _Stimulus]


@dataclass(frozen=True)
class _Trial:
    ratings: dict[str, float] = field(default_factory=dict)
    """Code of a version to its rating."""
    codes: list[str] = field(default_factory=list)
    """Codes of the original and of the system in a trial of ABX."""
    right: bool = False


@dataclass(frozen=True)
class _Answers:
    test: str
    listener: str
    trials: list[_Trial]


@dataclass(frozen=True)
class SystemOpinion:
    """What listeners say about a system."""

    system: str
    answers: int
    listeners: int
    mean: float
    """Mean rating; or share of right answers in per cent."""
    low: float | None
    high: float | None
    median: float | None = None
    p: float | None = None
    """Of the test that the answers are guesses."""
    p_holm: float | None = None


@dataclass(frozen=True)
class ListeningResult:
    """The result of a listening test."""

    kind: Literal["mushra", "abx"]
    listeners: int
    left_out: dict[str, str]
    """Listener who was left out, to the reason."""
    systems: list[SystemOpinion]

    def text(self) -> str:
        """Format the result for a terminal.

        Returns:
            Several lines.
        """
        mushra = self.kind == "mushra"
        header = ["system", "answers", "listeners", "mean" if mushra else "right, %", "95 % interval"]
        header += ["median"] if mushra else ["p", "p after Holm"]
        rows = []
        for one in self.systems:
            interval = "–" if one.low is None or one.high is None else f"{one.low:.1f} to {one.high:.1f}"
            last = [f"{one.median:.1f}"] if one.median is not None else [f"{one.p:.2g}", f"{one.p_holm:.2g}"]
            rows.append([one.system, str(one.answers), str(one.listeners), f"{one.mean:.1f}", interval, *last])
        people = "1 listener" if self.listeners == 1 else f"{self.listeners} listeners"
        lines = [f"{self.kind.upper()}, {people}", Table("", "", header, rows).text()]
        return "\n".join([*lines, *(f"{name} is left out: {why}" for name, why in self.left_out.items())])


def read_answers(test: Path, answers: Sequence[Path]) -> ListeningResult:
    """Read the answers of listeners.

    Args:
        test: folder of the test.
        answers: files that listeners downloaded.

    Returns:
        The result.

    Raises:
        UserError: a file cannot be read, is of another test, or one listener answered twice.
    """
    key = _read(_Key, test / KEY, "a folder that codec listen wrote")
    found: dict[str, _Answers] = {}
    for path in answers:
        one = _read(_Answers, path, _DOWNLOADED)
        if one.test != key.test:
            raise UserError(f"{path}: answers of another listening test")
        codes = {code for trial in one.trials for code in (*trial.ratings, *trial.codes)}
        if not codes <= key.stimuli.keys():
            raise UserError(f"{path}: names sounds that are not in {test / KEY}")
        coded = [[key.stimuli[code].system != ORIGINAL for code in trial.codes] for trial in one.trials]
        if key.kind == "abx" and any(sum(each) != 1 for each in coded):
            raise UserError(f"{path}: a trial that does not name one system; give {_DOWNLOADED}")
        if one.listener in found:
            raise UserError(f"{path}: answers of {one.listener} were read before; give each listener's file once")
        found[one.listener] = one
    if not found:
        raise UserError("no answers are given")
    return _mushra(key, found) if key.kind == "mushra" else _abx(key, found)


def _read(kind: type[_Content], path: Path, wanted: str) -> _Content:
    try:
        return from_json(kind, read_json(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path}: cannot be read ({reason}); give {wanted}") from error


def _mushra(key: _Key, found: dict[str, _Answers]) -> ListeningResult:
    left_out = {name: why for name, one in found.items() if (why := _screen(key, one))}
    ratings: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for name, one in found.items():
        for trial in one.trials if name not in left_out else ():
            for code, rating in trial.ratings.items():
                ratings[key.stimuli[code].system].append((name, rating))
    systems = []
    for system, given in ratings.items():
        values, names = [rating for _, rating in given], [name for name, _ in given]
        mean = estimate(values, names)
        assert mean is not None
        shown = reported(mean, is_distance=False)
        low, high = (None if end is None else min(100.0, max(0.0, end)) for end in (shown.low, shown.high))
        systems.append(
            SystemOpinion(system, len(given), shown.groups, shown.mean, low, high, statistics.median(values))
        )
    systems.sort(key=lambda one: -one.mean)
    return ListeningResult("mushra", len(found) - len(left_out), left_out, systems)


def _screen(key: _Key, answers: _Answers) -> str:
    """Return why a listener is left out, or nothing."""
    given: dict[str, list[float]] = defaultdict(list)
    for trial in answers.trials:
        for code, rating in trial.ratings.items():
            given[key.stimuli[code].system].append(rating)
    if not given[ORIGINAL]:
        return "no answers"
    low = sum(rating < SCREENED_RATING for rating in given[ORIGINAL]) / len(given[ORIGINAL])
    if low > SCREENED_SHARE:
        return f"the hidden reference is rated below {SCREENED_RATING:g} in {low:.0%} of the trials"
    anchor = given[MID_ANCHOR] or given[LOW_ANCHOR]
    high = sum(rating > SCREENED_RATING for rating in anchor) / max(1, len(anchor))
    if high > SCREENED_SHARE:
        return f"an anchor is rated above {SCREENED_RATING:g} in {high:.0%} of the trials"
    return ""


def _abx(key: _Key, found: dict[str, _Answers]) -> ListeningResult:
    right: dict[str, list[tuple[str, bool]]] = defaultdict(list)
    for name, one in found.items():
        for trial in one.trials:
            system = next(key.stimuli[code].system for code in trial.codes if key.stimuli[code].system != ORIGINAL)
            right[system].append((name, trial.right))
    systems = []
    for system, given in right.items():
        count = sum(answer for _, answer in given)
        tested = binomtest(count, len(given), 0.5, alternative="greater")
        interval = binomtest(count, len(given), 0.5).proportion_ci(CONFIDENCE)
        names = {name for name, _ in given}
        share, low, high = 100 * count / len(given), 100 * interval.low, 100 * interval.high
        systems.append(SystemOpinion(system, len(given), len(names), share, low, high, p=float(tested.pvalue)))
    adjusted = holm([one.p for one in systems])
    systems = [SystemOpinion(**{**vars(one), "p_holm": p}) for one, p in zip(systems, adjusted)]
    systems.sort(key=lambda one: -one.mean)
    return ListeningResult("abx", len(found), {}, systems)
