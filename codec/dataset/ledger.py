"""Records of use of the data: openings of the sealed test split, and runs that were evaluated on validation.

Both are files of JSON lines in the data folder, or in a folder of their own (:func:`ledger_folder`). Lines are only
appended, so that processes that write at the same time lose nothing. Each opening has a key; its result is a later line
with the same key.
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

LEDGER_FILE = "ledger.jsonl"
CANDIDATES_FILE = "candidates.jsonl"
FOLDER_VARIABLE = "LATHE_LEDGERS"
"""Environment variable with the folder of these files, for data on a read-only file system."""

Purpose = Literal["evaluation", "demonstration"]


class SealedError(UserError):
    """The test split was requested without an opening on record."""


@dataclass(frozen=True)
class LedgerEntry:
    """One opening of the test split; ``result`` is None until the evaluation is done."""

    opened: str
    purpose: str
    weights: list[str]
    run: str
    result: dict[str, Any] | None = None
    key: str = ""
    """Identifies the opening; empty in lines that an earlier version wrote."""


@dataclass(frozen=True)
class _Result:
    """The line that completes an opening."""

    result_of: str
    recorded: str
    result: dict[str, Any]


@dataclass(frozen=True)
class _Candidate:
    run: str


def ledger_folder(data: Path | str) -> Path:
    """Return the folder of the ledger and the list of candidates.

    Args:
        data: the folder that ``codec prepare`` wrote, or the URL of data

    Returns:
        The data folder itself. For a URL, or if the environment variable ``LATHE_LEDGERS`` names a folder: a folder in
        that one (by default ``lathe/ledgers`` in ``XDG_STATE_HOME``), named after the data and its path or URL.
    """
    elsewhere = os.environ.get(FOLDER_VARIABLE)
    if isinstance(data, str) and "://" in data:
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
        name, place = data.rstrip("/").rpartition("/")[2], data
        elsewhere = elsewhere or str(Path(state) / "lathe/ledgers")
    elif not elsewhere:
        return Path(data)
    else:
        path = Path(data).resolve()
        name, place = path.name, os.fspath(path)
    return Path(elsewhere) / f"{name}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:8]}"


def check_candidates(data: Path | str) -> None:
    """Check that a candidate can be recorded, before time is spent on training it.

    Args:
        data: the folder that ``codec prepare`` wrote

    Raises:
        UserError: the list of candidates cannot be written; the message names the alternative.
    """
    path = ledger_folder(data) / CANDIDATES_FILE
    lock = Lock(path)
    try:
        lock.acquire(share=True)
    except UserError as error:
        raise UserError(
            f"{error}; runs trained on this data are counted there. Set another folder for these records with the"
            f" environment variable {FOLDER_VARIABLE}"
        ) from error
    finally:
        lock.release()


def open_ledger(
    data: Path | str, *, run: str, weights: Sequence[str], purpose: Purpose, again: bool = False
) -> tuple[LedgerEntry, list[LedgerEntry]]:
    """Record an opening of the test split.

    Args:
        data: the folder that ``codec prepare`` wrote
        run: name of the run or model that is evaluated
        weights: checksums of all models that are evaluated
        purpose: reason for the opening
        again: open it for models other than those that it was opened for before

    Returns:
        The new opening, and the earlier ones, oldest first.

    Raises:
        SealedError: it was opened before, not for all of these weights, and ``again`` is False.
        UserError: the ledger cannot be read or written.
    """
    path = ledger_folder(data) / LEDGER_FILE
    with _locked(path):
        before = _openings(path)
        known = {name for entry in before for name in entry.weights}
        if before and not known.issuperset(weights) and not again:
            raise SealedError(
                f"{data}: the test split was opened before ({describe_openings(before)}); to evaluate another"
                " candidate on it, add --open-test-again; the report will mention this"
            )
        entry = LedgerEntry(_now(), purpose, list(weights), run, key=uuid.uuid4().hex)
        _append(path, asdict(entry), "the test split stays sealed")
    return entry, before


def record_result(data: Path | str, key: str, result: dict[str, Any]) -> None:
    """Record the result of an opening.

    Args:
        data: the folder that ``codec prepare`` wrote
        key: key of the opening
        result: plain values, as JSON can hold them

    Raises:
        UserError: there is no such opening, or the disk is full.
    """
    path = ledger_folder(data) / LEDGER_FILE
    with _locked(path):
        if key not in {entry.key for entry in _openings(path)}:
            raise UserError(f"{data}: the ledger has no opening with the key {key}")
        line = asdict(_Result(key, _now(), result))
        _append(path, line, "the result stays out of the ledger")


def read_ledger(data: Path | str) -> list[LedgerEntry]:
    """Read all openings of the test split.

    Args:
        data: the folder that ``codec prepare`` wrote

    Returns:
        The openings with their results, oldest first.

    Raises:
        UserError: a line is damaged.
    """
    path = ledger_folder(data) / LEDGER_FILE
    with _reading(path):
        return _openings(path)


def _openings(path: Path) -> list[LedgerEntry]:
    entries: dict[str, LedgerEntry] = {}
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
    """Describe openings in one line.

    Args:
        openings: the openings, oldest first

    Returns:
        Dates, weights and runs of the last five; of earlier ones the number only.
    """
    each = (f"{entry.opened[:10]} for {', '.join(entry.weights)} of {Path(entry.run).name}" for entry in openings[-5:])
    return "; ".join([f"{len(openings) - 5} times, then", *each] if len(openings) > 5 else each)


def record_candidate(data: Path | str, run: str) -> None:
    """Record that a run was evaluated on the validation split.

    Args:
        data: the folder that ``codec prepare`` wrote
        run: folder of the run

    Raises:
        UserError: the list cannot be written.
    """
    path = ledger_folder(data) / CANDIDATES_FILE
    with _locked(path):
        _append(path, {"time": _now(), "run": run}, "the run is not counted")


def count_candidates(data: Path | str) -> int:
    """Count the runs that were ever evaluated on the validation split.

    Args:
        data: the folder that ``codec prepare`` wrote

    Returns:
        The number of different runs.

    Raises:
        UserError: a line is damaged.
    """
    path = ledger_folder(data) / CANDIDATES_FILE
    runs = set()
    with _reading(path):
        for number, line in _lines(path):
            try:
                runs.add(from_json(_Candidate, line).run)
            except ValueError as error:
                raise _damaged(path, number) from error
    return len(runs)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Lock the file: if one process removes its incomplete line, lines of others must not go with it."""
    with Lock(path).held():
        yield


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Keep writers away, whose lines may be there in part; a file that cannot be written is read without a lock."""
    lock = Lock(path)
    if path.is_file():
        with contextlib.suppress(UserError):
            lock.acquire(share=True)
    try:
        yield
    finally:
        lock.release()


def _append(path: Path, line: dict[str, Any], consequence: str) -> None:
    """Append a line; an incomplete one, as on a full disk, is removed again."""
    size = path.stat().st_size
    try:
        with path.open("a+b") as file:
            file.seek(max(0, size - 1))
            cut_off = file.read(1) not in (b"", b"\n")  # after a line truncated by a power failure, begin a new one
            file.write(b"\n" * cut_off + json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            os.truncate(path, size)
        raise UserError(f"{path}: cannot write ({error.strerror}); {consequence}") from error


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    """Yield line numbers and contents."""
    if path.is_file():
        for number, text in enumerate(path.read_bytes().splitlines(), 1):
            try:
                yield number, parse_json(text.decode())
            except ValueError as error:
                raise _damaged(path, number) from error


def _damaged(path: Path, number: int) -> UserError:
    return UserError(f"{path}: line {number} is damaged; repair or remove that line")
