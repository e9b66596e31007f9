import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codec.errors import UserError
from codec.runtime.file_lock import LOCK_FILE, Lock, exclusive

HOLD = """
import os, sys, time
from pathlib import Path
from codec.runtime.file_lock import exclusive
with exclusive(Path(sys.argv[1])):
    if os.fork() == 0:
        os.write(1, b"forked\\n")
        time.sleep(60)  # a loader process that outlives its parent
        os._exit(0)
    os.write(1, b"held %d\\n" % os.getpid())
    time.sleep(60)
"""


def test_a_second_process_is_refused_and_names_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "new"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        assert {process.stdout.readline() for _ in range(2)} == {"forked\n", f"held {process.pid}\n"}
        with pytest.raises(UserError, match=rf"process {process.pid}\b") as refusal, exclusive(folder):
            pass
        assert "\n" not in str(refusal.value)
        process.kill()
        process.wait()
        with exclusive(folder):  # at once, although the child of the dead process lives
            assert str(os.getpid()) in (folder / LOCK_FILE).read_text()
        assert (folder / LOCK_FILE).read_text() == ""
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_the_lock_is_free_again_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), exclusive(tmp_path):
        raise ZeroDivisionError
    assert Lock(tmp_path / LOCK_FILE).acquire(wait=False)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write"), exclusive(tmp_path / "file"):
        pass
