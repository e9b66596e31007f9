"""Start several processes of one command on this machine, as one job."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence

from codec.errors import UserError
from codec.runtime.process_layout import DEFAULT_PORT
from codec.runtime.signals import INTERRUPT_STATUS, RUN_SIGNALS, signal_handler

_GRACE_S = 15.0
"""Time in which the other processes may end by themselves after one has failed, and again after they were asked to."""
_POLL_S = 0.05
_LAUNCHER = "LATHE_LAUNCHER"
"""Environment variable of the processes with the number of the one that launched them."""


def launch(words: Sequence[str], devices: int, nodes: int) -> int:
    """Run a command in several processes, with the environment variables of torchrun, until all have ended.

    A signal goes to all of them. If one fails, the others are ended.

    Args:
        words: arguments of ``codec``
        devices: processes on this machine
        nodes: machines. With more than one, the same command runs on each, with the environment variables
            ``MASTER_ADDR`` (the first machine) and ``NODE_RANK`` (number of this one, from 0).

    Returns:
        Exit status: that of the process that failed first, else 0.

    Raises:
        UserError: with several machines, an environment variable is missing or wrong.
    """
    environments = _environments(devices, nodes)
    # sessions of their own: Ctrl-C in a terminal reaches this process, which passes it on once
    children = [
        subprocess.Popen([sys.executable, "-m", "codec", *words], env=environment, start_new_session=True)
        for environment in environments
    ]
    asked = False

    def pass_on(number: int, _: object) -> None:
        nonlocal asked
        asked = True
        _send(children, signal.Signals(number))

    with signal_handler(pass_on, RUN_SIGNALS):
        try:
            status = _wait(children)
        finally:
            _send(children, signal.SIGKILL)
    if status < 0 and not asked:
        print(f"codec: error: a process of this training was ended by {_name(-status)}", file=sys.stderr, flush=True)
    return (INTERRUPT_STATUS if asked else 1) if status < 0 else status


def end_with_launcher() -> None:
    """Interrupt this process when the one that launched it has ended, which may have been killed.

    Nothing happens in a process that :func:`launch` has not started.
    """
    if launcher := os.environ.get(_LAUNCHER):
        threading.Thread(target=_watch, args=(int(launcher),), name="launcher", daemon=True).start()


def _watch(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGTERM)


def _wait(children: Sequence["subprocess.Popen[bytes]"]) -> int:
    """Wait until all have ended, and return the status of the first that failed."""
    first, since, ended_by_us = 0, 0.0, 0
    while any([child.poll() is None for child in children]):  # a list, so that each is asked
        failed = [child.returncode for child in children if child.returncode]
        if failed and not first:
            first, since = failed[0], time.monotonic()
        if first and time.monotonic() - since > _GRACE_S * (1 + ended_by_us):
            _send(children, signal.SIGTERM if not ended_by_us else signal.SIGKILL)
            ended_by_us += 1
        time.sleep(_POLL_S)
    return first or next((child.returncode for child in children if child.returncode), 0)


def _send(children: Sequence["subprocess.Popen[bytes]"], number: signal.Signals) -> None:
    for child in children:
        if child.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(number)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _environments(devices: int, nodes: int) -> list[dict[str, str]]:
    node = 0
    common = {
        "WORLD_SIZE": str(devices * nodes),
        "LOCAL_WORLD_SIZE": str(devices),
        _LAUNCHER: str(os.getpid()),
        "MASTER_ADDR": os.environ.get("MASTER_ADDR", "127.0.0.1"),
        "MASTER_PORT": os.environ.get("MASTER_PORT") or str(DEFAULT_PORT if nodes > 1 else _free_port()),
        # libraries would use all cores in each process
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // devices)),
    }
    if nodes > 1:
        rank = os.environ.get("NODE_RANK", "")
        if "MASTER_ADDR" not in os.environ or not rank.isdecimal() or int(rank) >= nodes:
            raise UserError(
                f"--nodes {nodes}: start the same command on each machine, with the environment variables MASTER_ADDR"
                f" (name of the first machine) and NODE_RANK (number of the machine, 0 to {nodes - 1}); under SLURM,"
                " srun sets all of this, see recipes/launch"
            )
        node = int(rank)
    return [
        os.environ | common | {"RANK": str(node * devices + number), "LOCAL_RANK": str(number)}
        for number in range(devices)
    ]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
