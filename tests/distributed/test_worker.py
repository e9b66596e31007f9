"""What a process of a cluster checks before it computes."""

import os
import pickle

import pytest

from codec.distributed.worker import Worker, installed_versions, unpickle_result
from codec.errors import UserError
from tests.helpers.kills import square


def test_other_versions_and_a_folder_that_is_not_shared_are_refused(tmp_path):
    before = os.getcwd()
    start = pickle.dumps(square)
    with pytest.raises(UserError, match="numpy"):
        unpickle_result(Worker().start(start, str(tmp_path), {**installed_versions(), "numpy": "0.1"}))
    with pytest.raises(UserError, match="missing"):
        unpickle_result(Worker().start(start, str(tmp_path / "missing"), installed_versions()))
    assert os.getcwd() == before


class _Unpicklable(Exception):
    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def test_an_error_that_cannot_be_pickled_still_says_what_happened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the worker goes as well

    def fail(unit: object) -> list[object]:
        raise _Unpicklable(1, 2)

    worker = Worker()
    worker._function = fail
    with pytest.raises(RuntimeError, match="1 and 2"):
        unpickle_result(worker.run(pickle.dumps([1])))
