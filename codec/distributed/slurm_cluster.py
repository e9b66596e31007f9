"""SLURM as a cluster, through submitit: a job array, each task of which computes its share of the units.

A task writes the results of each unit to a file in a folder that all machines share, from which the command reads them.
Units of tasks that ended without them are submitted again.
"""

from __future__ import annotations

import pickle
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codec.distributed.cluster import DEFAULT_RESOURCES, Cluster, OnLoss, Resources, UnitFunction
from codec.distributed.units import Lost, Unit, UnitPool
from codec.distributed.worker import Worker, WorkerPlace, installed_versions, unpickle_result
from codec.errors import UserError
from codec.runtime.atomic_files import make_folder, replacing
from codec.runtime.extras import require_installed
from codec.runtime.file_lock import LOCK_FILE, Lock, exclusive

LOCAL = "local"
"""Name of the executor that runs the tasks as processes of this machine, without SLURM."""
DEFAULT_TASKS = 16
"""Tasks of an array, unless another number is requested."""
_POLL_S, _QUEUE_POLL_S = 0.5, 5.0


@dataclass(frozen=True)
class SlurmCluster(Cluster):
    """A SLURM cluster.

    Args:
        folder: folder that all machines share; job scripts, logs and results lie there in ``.slurm``
        options: long options of ``sbatch`` with their values, such as ``{"partition": "gpu"}``
        local: run the tasks on this machine, without SLURM
        resources: of each task
    """

    folder: Path
    options: Mapping[str, str] = field(default_factory=dict)
    local: bool = False
    resources: Resources = DEFAULT_RESOURCES

    @contextmanager
    def open(self, start: Callable[[], UnitFunction], on_loss: OnLoss) -> Iterator[UnitPool]:
        """Make ready to submit for the time of a block; see :meth:`codec.distributed.cluster.Cluster.open`."""
        require_installed("--slurm", "slurm")
        folder = self.folder.resolve() / ".slurm" / uuid.uuid4().hex[:8]
        make_folder(folder)
        with exclusive(folder):
            arrays = _Arrays(self, folder, pickle.dumps(start), on_loss)
            try:
                yield arrays
            finally:
                arrays.cancel()
            shutil.rmtree(folder, ignore_errors=True)
        _remove_abandoned(folder.parent)


def _remove_abandoned(folder: Path) -> None:
    """Remove what commands that failed or were killed have left, and the folder itself if no other command uses it."""
    for left in folder.iterdir():
        lock = Lock(left / LOCK_FILE)
        if lock.acquire(wait=False):
            shutil.rmtree(left, ignore_errors=True)
            lock.release()
    with suppress(OSError):
        folder.rmdir()


class _Arrays(UnitPool):
    """The arrays of a command: one, and others for units that were lost."""

    def __init__(self, cluster: SlurmCluster, folder: Path, pickled: bytes, on_loss: OnLoss) -> None:
        self._cluster, self._folder, self._on_loss = cluster, folder, on_loss
        self._submitted = 0
        self._running: dict[int, Any] = {}
        self._asked_at = 0.0
        (folder / _START).write_bytes(pickle.dumps((pickled, str(Path.cwd()), installed_versions())))

    def run(self, units: Sequence[Unit]) -> Generator[tuple[int, list[Any] | Lost], None, None]:
        """Compute units; see :meth:`codec.distributed.units.UnitPool.run`."""
        folder = self._folder / f"array-{self._submitted}"
        self._submitted += 1
        folder.mkdir()
        tasks = min(self._cluster.resources.workers or DEFAULT_TASKS, len(units))
        shares = [range(task, len(units), tasks) for task in range(tasks)]
        for index, unit in enumerate(units):
            (folder / f"{index}.unit").write_bytes(pickle.dumps(unit))
        self._running = dict(enumerate(self._submit(folder, shares)))
        self._asked_at = time.monotonic()
        left = set(range(len(units)))
        while left:
            ended = self._find_ended()  # before the results are looked for
            for index in [index for index in left if (folder / f"{index}.result").exists()]:
                left.remove(index)
                yield index, unpickle_result((folder / f"{index}.result").read_bytes())
            for task in ended:
                del self._running[task]
                place = _read_place(folder, task)
                for number, index in enumerate([index for index in shares[task] if index in left]):
                    left.remove(index)
                    began = number == 0
                    if began and place is not None:
                        self._on_loss(units[index], place.writer)
                    yield index, Lost(f"task {task} of the array ended without a result", began)
            if left:
                time.sleep(_POLL_S)

    def _submit(self, folder: Path, shares: Sequence[range]) -> list[Any]:
        import submitit

        resources = self._cluster.resources
        options: dict[str, Any] = {
            "cpus_per_task": resources.threads,
            "timeout_min": _minutes(self._cluster.options),
        }
        if resources.gpus:
            options["gpus_per_node"] = max(1, round(resources.gpus))
        if not self._cluster.local:
            options["slurm_array_parallelism"] = len(shares)
            options["slurm_additional_parameters"] = dict(self._cluster.options)
        try:
            executor = submitit.AutoExecutor(folder / "jobs", cluster=LOCAL if self._cluster.local else "slurm")
            executor.update_parameters(name="lathe", **options)
            return executor.map_array(_run_share, [folder] * len(shares), range(len(shares)), shares)
        except (RuntimeError, OSError, ValueError, submitit.core.utils.FailedJobError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"--slurm: the array cannot be submitted ({reason})") from error

    def _find_ended(self, every_s: float = _QUEUE_POLL_S) -> list[int]:
        """Return the tasks that have ended since; SLURM is asked at most every ``every_s`` seconds."""
        if self._cluster.local:
            return [task for task, job in self._running.items() if job.done()]
        if time.monotonic() - self._asked_at < every_s:
            return []
        queued = queued_tasks([job.job_id for job in self._running.values()])
        self._asked_at = time.monotonic()
        return [] if queued is None else [task for task, job in self._running.items() if job.job_id not in queued]

    def cancel(self) -> None:
        """End all tasks."""
        ended = self._find_ended(0)
        for task, job in self._running.items():
            if task not in ended:
                job.cancel(check=False)


_START = "start.pkl"


def queued_tasks(tasks: Sequence[str]) -> set[str] | None:
    """Ask SLURM which tasks wait or run. Unlike ``sacct``, which submitit asks, this needs no accounting.

    Args:
        tasks: numbers of tasks of an array, such as ``"71_0"``

    Returns:
        Those that have not ended; None if SLURM does not answer.
    """
    command = ["squeue", "--noheader", "--array", "--format=%i", "--jobs", ",".join(tasks)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return None
    if done.returncode and "Invalid job id" not in done.stderr:  # SLURM forgets a job minutes after its end
        return None
    return set(done.stdout.split())


def _minutes(options: Mapping[str, str]) -> int:
    """Return the time limit, which submitit wants in minutes of its own."""
    text = options.get("time", "1440")
    if not text.isdecimal():
        raise UserError(f"--slurm: time must be a whole number of minutes, not {text}")
    return int(text)


def _read_place(folder: Path, task: int) -> WorkerPlace | None:
    try:
        place = unpickle_result((folder / f"{task}.place").read_bytes())
    except FileNotFoundError:
        return None
    assert isinstance(place, WorkerPlace)
    return place


def _run_share(folder: Path, task: int, share: range) -> None:
    """Compute a share of the units, in a task of the array."""
    worker = Worker()
    place = worker.start(*pickle.loads((folder.parent / _START).read_bytes()))
    _write(folder / f"{task}.place", place)
    try:
        unpickle_result(place)
    except Exception:
        for index in share:
            _write(folder / f"{index}.result", place)  # the error is that of each unit
        return
    for index in share:
        _write(folder / f"{index}.result", worker.run((folder / f"{index}.unit").read_bytes()))


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as part:
        part.write_bytes(content)
