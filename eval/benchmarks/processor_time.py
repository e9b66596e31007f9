"""Processor time of commands, each of which is a process of its own."""

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from codec.errors import UserError


def cpu_seconds(words: Sequence[object], folder: Path) -> float:
    """Measure a process of one thread.

    Args:
        words: arguments of Python
        folder: folder from which it imports, and in which it runs

    Returns:
        Processor time of the process, user and system, in seconds.

    Raises:
        UserError: it failed.
    """
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    variables |= {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run = [sys.executable, *map(str, words)]
    ended = subprocess.run(run, cwd=folder, capture_output=True, env=variables, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode:
        raise UserError((ended.stderr.decode(errors="replace").strip() or "killed").splitlines()[-1])
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
