"""Processes of a cluster that tests kill while they work."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LIMIT_S = 600.0
"""What takes longer than this never ends, on the slowest of machines."""


def begun(folder: Path) -> list[tuple[str, int]]:
    """Names of the files that are being written, and the processes that write them."""
    parts = [path.name.rsplit(".", 2) for path in folder.rglob(".*.part")]
    return [(name[1:], int(writer.rpartition("-")[2])) for name, writer, _ in parts]


@contextlib.contextmanager
def meanwhile(*steps: Callable[[], Any]) -> Iterator[None]:
    """Take steps in turn while the block runs, each until it returns something true; all must come to pass."""
    left, ended = list(steps), threading.Event()

    def take() -> None:
        while left and not ended.wait(0.005):
            if left[0]():
                left.pop(0)

    thread = threading.Thread(target=take)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    assert not left, f"{len(left)} of {len(steps)} steps never came to pass"


def wait_for(true: Callable[[], object], process: "subprocess.Popen[bytes]") -> None:
    """Wait until something is true, which fails if a process ends before."""
    started = time.monotonic()
    while not true():
        assert process.poll() is None and time.monotonic() - started < LIMIT_S
        time.sleep(0.005)


def kill(process: int, killed: list[int]) -> bool:
    """Kill a process and note its number, unless it has ended."""
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return False
    killed.append(process)
    return True


def kill_a_writer(folder: Path, killed: list[int]) -> bool:
    """Kill a process that is writing a file in a folder, if there is one."""
    return any(kill(process, killed) for _, process in begun(folder)[:1])


def kill_a_holder(pattern: str, folder: Path, killed: list[int]) -> bool:
    """Kill another process that has a file of this pattern open, if there is one."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            path = Path(os.readlink(link))
            process = int(link.parts[2])
            if path.parent == folder and path.match(pattern) and process != os.getpid():
                return kill(process, killed)
    return False


def square(number: int) -> int:
    """Return the square of a number that is not negative; -1 ends the process, others raise an error."""
    if number == -1:
        os._exit(7)
    if number < -1:
        raise ZeroDivisionError(number)
    return number * number
