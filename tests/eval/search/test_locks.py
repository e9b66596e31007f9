"""Locks in a database, whose holders are killed."""

import time
from pathlib import Path

import pytest

from codec.errors import UserError
from eval.search.locks import DatabaseLocks
from tests.helpers.children import running, wait_until

HEARTBEAT_S, GRACE_S = 1, 3


def locks(folder: Path) -> DatabaseLocks:
    return DatabaseLocks(f"sqlite:///{folder}/locks.db", "search", HEARTBEAT_S, GRACE_S)


def test_one_of_several_holds_a_lock_at_a_time(tmp_path):
    first, second = locks(tmp_path), locks(tmp_path)
    one, other = first("a"), second("a")
    assert one.acquire() and not other.acquire(wait=False) and second("b").acquire(wait=False)
    one.release()
    assert other.acquire(wait=False) and not one.acquire(wait=False)
    other.release()


def hold(folder: Path) -> None:
    locks(folder)("a").acquire()
    (folder / "held").touch()
    time.sleep(600)


@pytest.mark.long
def test_the_lock_of_a_killed_process_is_free_after_a_while_but_not_that_of_one_that_lives(tmp_path):
    with running(hold, tmp_path) as holder:
        wait_until(lambda: (tmp_path / "held").exists(), holder)
        lock = locks(tmp_path)("a")
        until = time.monotonic() + GRACE_S + 2 * HEARTBEAT_S
        while time.monotonic() < until:
            assert not lock.acquire(wait=False)
            time.sleep(0.2)
        holder.kill()
        started = time.monotonic()
        assert lock.acquire() and time.monotonic() - started > 1
    lock.release()


def test_a_database_that_cannot_be_opened_is_an_error_of_one_line():
    with pytest.raises(UserError, match="nodatabase://nowhere") as found:
        DatabaseLocks("nodatabase://nowhere", "search")
    assert "\n" not in str(found.value)


def test_a_driver_that_is_not_installed_is_named():
    with pytest.raises(UserError, match="No module named 'oracledb'"):
        DatabaseLocks("oracle://nobody@127.0.0.1/none", "search")
