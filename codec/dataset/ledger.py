"""Who looked at what: openings of the sealed test split, and candidates that were judged on validation.

Both are files of JSON lines beside the data, or in a folder of their own (:func:`ledger_folder`). They only grow, so
that processes that write at the same time lose nothing. An opening has a key; what came of it is a later line with that
key.
"""

import contextlib
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from codec.errors import UserError
from codec.runtime.file_lock import Lock
from codec.runtime.json_files import from_json, parse_json

LEDGER = "ledger.jsonl"
CANDIDATES = "candidates.jsonl"
FOLDER_VARIABLE = "LATHE_LEDGERS"
"""Environment variable: where the files lie for data on a file system that cannot be written to."""

Purpose = Literal["evaluation", "demonstration"]


class SealedError(UserError):
    """The test split was asked for in a place that must not see it."""


@dataclass(frozen=True)
class LedgerEntry:
    """One opening of the test split; ``result`` is None until the evaluation is done."""

    opened: str
    purpose: str
    weights: list[str]
    run: str
    result: dict[str, Any] | None = None
    key: str = ""
    """Names the opening; empty where an earlier version wrote it."""


@dataclass(frozen=True)
class _Result:
    """The line that completes an opening."""

    result_of: str
    recorded: str
    result: dict[str, Any]


@dataclass(frozen=True)
class _Candidate:
    run: str


def ledger_folder(data: Path) -> Path:
    """Where the files of this data lie: beside it, or, where the environment variable ``LATHE_LEDGERS`` names a folder,
    in one there that is called after the data and its place."""
    elsewhere = os.environ.get(FOLDER_VARIABLE)
    if not elsewhere:
        return Path(data)
    place = Path(data).resolve()
    return Path(elsewhere) / f"{place.name}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:8]}"


def check_candidates(data: Path) -> None:
    """Check that a candidate can be recorded, before work is put into it.

    Raises:
        UserError: it cannot; the message says where else it could.
    """
    path = ledger_folder(data) / CANDIDATES
    lock = Lock(path)
    try:
        lock.acquire(share=True)
    except UserError as error:
        raise UserError(
            f"{error}; the runs trained on this data are counted there. Name another folder for such records by the"
            f" environment variable {FOLDER_VARIABLE}"
        ) from error
    finally:
        lock.release()


def open_ledger(
    data: Path, *, run: str, weights: Sequence[str], purpose: Purpose, again: bool = False
) -> tuple[LedgerEntry, list[LedgerEntry]]:
    """Record that the test split is opened.

    Args:
        data: the folder that ``codec prepare`` wrote.
        run: what is to be judged.
        weights: checksums of all models that are to be judged.
        purpose: of the opening.
        again: open it for models other than those that it was opened for before.

    Returns:
        The new opening, and those before it, oldest first.

    Raises:
        SealedError: it was opened before and not for all of these weights, and not to be opened ``again``.
        UserError: the ledger cannot be read or written.
    """
    with _writing(ledger_folder(data) / LEDGER):
        before = ledger(data)
        known = {name for entry in before for name in entry.weights}
        if before and not known.issuperset(weights) and not again:
            raise SealedError(
                f"{data}: the test split was opened before ({describe_openings(before)}); another candidate is judged"
                " on it only with --open-test-again, and the report says so"
            )
        entry = LedgerEntry(_now(), purpose, list(weights), run, key=uuid.uuid4().hex)
        _append(ledger_folder(data) / LEDGER, asdict(entry), "the test split stays sealed")
    return entry, before


def record_result(data: Path, key: str, result: dict[str, Any]) -> None:
    """Complete the opening with this key. Raises ``UserError`` where there is none, or on a full disk."""
    if key not in {entry.key for entry in ledger(data)}:
        raise UserError(f"{data}: nothing to complete, the test split was not opened as {key}")
    with _writing(ledger_folder(data) / LEDGER):
        line = asdict(_Result(key, _now(), result))
        _append(ledger_folder(data) / LEDGER, line, "the result stays out of the ledger")


def ledger(data: Path) -> list[LedgerEntry]:
    """Every opening of the test split with its result, oldest first."""
    entries: dict[str, LedgerEntry] = {}
    path = ledger_folder(data) / LEDGER
    for number, line in _lines(path):
        try:
            if isinstance(line, dict) and "result_of" in line:
                found = from_json(_Result, line)
                entries[found.result_of] = replace(entries[found.result_of], result=found.result)
            else:
                entry = from_json(LedgerEntry, line)
                entries[entry.key or f"line {number}"] = entry
        except (ValueError, KeyError) as error:
            raise _damaged(path, number) from error
    return list(entries.values())


def describe_openings(openings: Sequence[LedgerEntry]) -> str:
    """When and for which weights, in a line."""
    each = (f"{entry.opened[:10]} for {', '.join(entry.weights)} of {Path(entry.run).name}" for entry in openings[-5:])
    return "; ".join([f"{len(openings) - 5} times, then", *each] if len(openings) > 5 else each)


def record_candidate(data: Path, run: str) -> None:
    """Note that a model trained in ``run`` was judged on the validation split."""
    with _writing(ledger_folder(data) / CANDIDATES):
        _append(ledger_folder(data) / CANDIDATES, {"time": _now(), "run": run}, "the run is not counted")


def candidates(data: Path) -> int:
    """How many runs were ever compared on the validation split."""
    path = ledger_folder(data) / CANDIDATES
    runs = set()
    for number, line in _lines(path):
        try:
            runs.add(from_json(_Candidate, line).run)
        except ValueError as error:
            raise _damaged(path, number) from error
    return len(runs)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """One process at a time: a line that is taken back must not take another's with it."""
    with Lock(path).held():
        yield


def _append(path: Path, line: dict[str, Any], consequence: str) -> None:
    """A line that the disk has no room for is taken back."""
    size = path.stat().st_size
    try:
        with path.open("a+b") as file:
            file.seek(max(0, size - 1))
            cut_off = file.read(1) not in (b"", b"\n")  # a line that a power cut broke off stays a line of its own
            file.write(b"\n" * cut_off + json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            os.truncate(path, size)
        raise UserError(f"{path}: cannot write ({error.strerror}); {consequence}") from error


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Numbers and contents."""
    if path.is_file():
        for number, text in enumerate(path.read_bytes().splitlines(), 1):
            try:
                yield number, parse_json(text.decode())
            except ValueError as error:
                raise _damaged(path, number) from error


def _damaged(path: Path, number: int) -> UserError:
    return UserError(f"{path}: line {number} is damaged; repair or remove that line")
