"""The locks of a search: lock files in its folder, or a database for machines whose file system has no common locks.

A lock in a database is an Optuna trial that is running, and its holder sends heartbeats. A holder whose heartbeats end
loses the lock: Optuna fails its trial, and the next that asks takes over the work.
"""

import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from codec.errors import UserError
from codec.runtime.command import hide_passwords
from codec.runtime.file_lock import Lock

HEARTBEAT_S = 20
GRACE_S = 90
"""Seconds without heartbeat after which a holder counts as dead."""
_POLL_S = 0.3
_ATTEMPTS = 3
"""Attempts to open a database: two processes may make its tables at once, which fails for one of them."""
_NAME = "lock"


class SearchLock(Protocol):
    """A lock between the processes of a search."""

    def acquire(self, *, wait: bool = True) -> bool:
        """Take the lock.

        Args:
            wait: wait until it is free.

        Returns:
            Whether it is held now.
        """

    def release(self) -> None:
        """Release the lock, if it is held."""


class SearchLocks(Protocol):
    """The locks of a search by name."""

    def __call__(self, name: str) -> SearchLock:
        """Return a lock, which the returned object does not hold.

        Args:
            name: its name.

        Returns:
            The lock.
        """


class FileLocks:
    """Lock files, for processes on one machine, or on machines whose shared file system has locks.

    Args:
        out: folder of the search.
    """

    def __init__(self, out: Path):
        self._folder = out / "locks"

    def __call__(self, name: str) -> Lock:
        """Return a lock.

        Args:
            name: its name.

        Returns:
            The lock.
        """
        return Lock(self._folder / name)


def storage_error(where: object, error: Exception) -> UserError:
    """Describe why a storage cannot be opened.

    Args:
        where: its URL or folder.
        error: what Optuna or the driver of the database raised.

    Returns:
        The error to raise.
    """
    named = error.__cause__ or error if isinstance(error, ImportError) else error  # the cause names the module
    reason = (str(named).splitlines() or [type(error).__name__])[0]
    return UserError(f"{hide_passwords(str(where))}: the storage cannot be opened ({reason})")


class DatabaseLocks:
    """Locks in a database of a server, such as PostgreSQL or MySQL.

    SQLite does not lock the row of a trial while its state is compared and changed, so that two processes can get one.

    Args:
        url: URL of the database.
        search: name of the search, the same on all machines.
        heartbeat_s: seconds between heartbeats.
        grace_s: seconds without heartbeat after which a holder counts as dead.

    Raises:
        UserError: it cannot be opened.
    """

    def __init__(self, url: str, search: str, heartbeat_s: int = HEARTBEAT_S, grace_s: int = GRACE_S):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
        self.heartbeat_s = heartbeat_s
        for attempt in range(_ATTEMPTS):
            try:
                self.storage = RDBStorage(url, heartbeat_interval=heartbeat_s, grace_period=grace_s)
                self.study = optuna.create_study(
                    storage=self.storage, study_name=f"{search}-locks", load_if_exists=True
                )
                return
            except Exception as error:  # database drivers raise any exception
                if attempt == _ATTEMPTS - 1 or not isinstance(error, SQLAlchemyError):
                    raise storage_error(url, error) from error
                time.sleep(_POLL_S)

    def __call__(self, name: str) -> "DatabaseLock":
        """Return a lock.

        Args:
            name: its name.

        Returns:
            The lock.
        """
        return DatabaseLock(self, name)


class DatabaseLock:
    """A lock in a database.

    Each lock has a trial that waits while nobody holds it, and runs while somebody does. Storages change the state of a
    trial for one of several processes alone. If two processes have made a trial each, the older one counts.

    Args:
        locks: the database.
        name: name of the lock.
    """

    def __init__(self, locks: DatabaseLocks, name: str):
        self._locks, self._name = locks, name
        self._trial: int | None = None
        self._released = threading.Event()

    def acquire(self, *, wait: bool = True) -> bool:
        """Take the lock, also from a holder that counts as dead.

        Args:
            wait: wait until it is free.

        Returns:
            Whether it is held now.
        """
        while not self._take():
            if not wait:
                return False
            time.sleep(_POLL_S)
        return True

    def _take(self) -> bool:
        fail_stale_trials(self._locks.study)
        if (trial := self._oldest()) is None:
            self._locks.study.add_trial(create_trial(state=TrialState.WAITING, user_attrs={_NAME: self._name}))
            trial = self._oldest()
        if trial is None or trial.state != TrialState.WAITING:
            return False
        storage, number = self._locks.storage, trial._trial_id
        storage.record_heartbeat(number)  # first, so that a holder that dies at once counts as dead as well
        try:
            if not storage.set_trial_state_values(number, TrialState.RUNNING):
                return False
        except UpdateFinishedTrialError:
            return False
        self._trial = number
        self._released = threading.Event()
        threading.Thread(target=self._send_heartbeats, args=(number, self._released), daemon=True).start()
        return True

    def _oldest(self) -> FrozenTrial | None:
        active = self._locks.study.get_trials(deepcopy=False, states=(TrialState.WAITING, TrialState.RUNNING))
        named = [trial for trial in active if trial.user_attrs.get(_NAME) == self._name]
        return min(named, key=lambda trial: trial.number, default=None)

    def _send_heartbeats(self, trial: int, released: threading.Event) -> None:
        while not released.wait(self._locks.heartbeat_s):
            with suppress(SQLAlchemyError, StorageInternalError):  # the next may come through
                self._locks.storage.record_heartbeat(trial)

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self._trial is not None:
            self._released.set()
            with suppress(UpdateFinishedTrialError):  # it was taken from this process
                self._locks.storage.set_trial_state_values(self._trial, TrialState.COMPLETE, [0.0])
            self._trial = None


@contextmanager
def holding(lock: SearchLock) -> Iterator[None]:
    """Wait for a lock, and hold it while the block runs.

    Args:
        lock: the lock.

    Yields:
        Nothing.
    """
    lock.acquire()
    try:
        yield
    finally:
        lock.release()
