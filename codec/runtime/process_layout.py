"""The processes that train one model together, as torchrun, SLURM or ``codec train --devices`` have started them."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from codec.errors import UserError

_PORTS, _PORT_RANGE, _STEP_STRIDE = 15_000, 10_000, 997
DEFAULT_PORT = 29_500
"""Port of the first process if ``MASTER_PORT`` names no other, as in torchrun."""


@dataclass(frozen=True)
class ProcessLayout:
    """Place of this process among those of a training."""

    rank: int
    """Number of this process, from 0."""
    count: int
    """Number of processes on all machines."""
    local_rank: int
    """Number of this process on its machine."""
    local_count: int
    """Number of processes on this machine."""
    address: str
    """Name or address of the machine of process 0."""
    port: int
    """Port on which process 0 listens."""

    @property
    def nodes(self) -> int:
        """Number of machines."""
        return -(-self.count // self.local_count)


def find_layout(environment: Mapping[str, str] | None = None) -> ProcessLayout | None:
    """Read the place of this process from environment variables.

    They are those of torchrun (``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``, ``LOCAL_WORLD_SIZE``, ``MASTER_ADDR``,
    ``MASTER_PORT``) or, for tasks that ``srun`` has started, those of SLURM.

    Args:
        environment: the variables; those of this process by default

    Returns:
        The layout; None for a process that works alone.

    Raises:
        UserError: a variable is missing or is no number.

    >>> find_layout({"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "node1", "MASTER_PORT": "29500"}).rank
    1
    >>> step = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_NODES": "2"}
    >>> found = find_layout(step | {"SLURM_JOB_ID": "71", "SLURM_STEP_NODELIST": "gpu[07-08]"})
    >>> found.rank, found.count, found.local_count, found.address, found.port
    (3, 4, 2, 'gpu07', 15071)
    """
    given = os.environ if environment is None else environment
    if _number(given, "WORLD_SIZE", 1) > 1:
        return _torchrun_layout(given)
    if _number(given, "SLURM_STEP_NUM_TASKS", 1) > 1:
        return _slurm_layout(given)
    return None


def _torchrun_layout(given: Mapping[str, str]) -> ProcessLayout:
    rank, count = _number(given, "RANK"), _number(given, "WORLD_SIZE")
    return ProcessLayout(
        rank=rank,
        count=count,
        local_rank=_number(given, "LOCAL_RANK", rank),
        local_count=_number(given, "LOCAL_WORLD_SIZE", count),
        address=given.get("MASTER_ADDR", "127.0.0.1"),
        port=_number(given, "MASTER_PORT", DEFAULT_PORT),
    )


def _slurm_layout(given: Mapping[str, str]) -> ProcessLayout:
    """Read the variables of a task.

    The port follows from the numbers of the job and the step, so that jobs, and steps of one job, can share a machine.
    """
    count = _number(given, "SLURM_STEP_NUM_TASKS")
    run = _number(given, "SLURM_JOB_ID", 0) + _STEP_STRIDE * _number(given, "SLURM_STEP_ID", 0)
    return ProcessLayout(
        rank=_number(given, "SLURM_PROCID"),
        count=count,
        local_rank=_number(given, "SLURM_LOCALID"),
        local_count=-(-count // _number(given, "SLURM_STEP_NUM_NODES", 1)),
        address=given.get("MASTER_ADDR") or _first_host(given.get("SLURM_STEP_NODELIST", "127.0.0.1")),
        port=_number(given, "MASTER_PORT", _PORTS + run % _PORT_RANGE),
    )


def _first_host(hosts: str) -> str:
    """Return the first machine of a list in SLURM's form.

    >>> [_first_host(hosts) for hosts in ("a,b", "gpu[07-08,11]", "rack[1-2]n[3,4]x", "localhost")]
    ['a', 'gpu07', 'rack1n3x', 'localhost']
    """
    first = re.split(r",(?![^\[]*\])", hosts)[0]
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", first)


def _number(given: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = given.get(name, "")
    if text == "" and default is not None:
        return default
    if not text.isdecimal():
        state = f"is {text!r}, which is no number" if text else "is not set"
        raise UserError(f"several processes are to train together, but the environment variable {name} {state}")
    return int(text)
