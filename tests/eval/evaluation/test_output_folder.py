"""The output folder of an evaluation: one evaluation at a time, and no leftovers."""

import errno
import time

import pytest

from codec.errors import UserError
from eval.evaluation.output_folder import WORK, working_folder
from tests.helpers.children import CONTEXT, running, wait_until


def evaluate_for_ever(out, at_work):
    with working_folder(out) as work:
        (work / "decoded.wav").write_bytes(b"sound")
        at_work.set()
        time.sleep(3600)


def test_a_second_evaluation_is_refused_and_leftovers_are_removed(tmp_path):
    at_work = CONTEXT.Event()
    with running(evaluate_for_ever, tmp_path, at_work) as process:
        wait_until(at_work.is_set, process)
        with pytest.raises(UserError, match=str(process.pid)), working_folder(tmp_path):
            pass
        assert (tmp_path / WORK / "decoded.wav").exists()
    assert (tmp_path / WORK / "decoded.wav").exists()  # it was killed
    with working_folder(tmp_path) as work:
        assert work.is_dir() and not list(work.iterdir())
    assert not (tmp_path / WORK).exists()


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    with pytest.raises(UserError, match="No space left") as error, working_folder(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert "\n" not in str(error.value) and not (tmp_path / WORK).exists()
