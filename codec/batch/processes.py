"""Queue of the jobs of a batch for several processes, each with a model of its own; if a process dies, one file fails.

A process works on a group of jobs at a time, in threads as :mod:`codec.batch.threads` runs them. If it dies, the jobs
of the group that had not ended are run again, each alone, so that only the one that kills a process fails.

A pool of the standard library, as in :mod:`codec.runtime.process_pool`, breaks as a whole when one of its processes
dies. Here each process has a pipe of its own: the function is sent once, then one group of the queue after the other;
the process sends back progress and the outcome of each job.
"""

import contextlib
import multiprocessing
import pickle
from collections import deque
from collections.abc import Callable, Generator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Generic

from codec.batch.jobs import AnyJob
from codec.batch.report import Failure
from codec.batch.threads import run_in_threads
from codec.runtime.atomic_files import temporary_path, writer_name
from codec.runtime.signals import sigint_blocked


def run_in_processes(
    function: Callable[[AnyJob, Callable[[float], None]], Any],
    groups: Sequence[Sequence[AnyJob]],
    workers: int,
    progress: Callable[[AnyJob, float], None],
) -> Generator[tuple[AnyJob, Any]]:
    """Call a function for each job, in several processes.

    Closing the iterator, or an interrupt, ends the processes at once and leaves nothing half-written.

    Args:
        function: called with a job and a function that takes the seconds of audio that were processed; it is pickled
        groups: the queue, processed in this order; the jobs of a group are run together
        workers: number of processes
        progress: called in this process with each job and the seconds that ``function`` reports for it

    Yields:
        Each job with the result of ``function``, or with a :class:`codec.batch.report.Failure` if its process died, in
        order of completion.
    """
    # pickled here: multiprocessing's own pickling puts weights into shared memory, which is small in containers
    pickled = pickle.dumps(function)
    waiting = deque(map(list, groups))
    busy: dict[Connection, _Worker[AnyJob]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                with sigint_blocked():
                    worker = _Worker(waiting.popleft())
                    busy[worker.pipe] = worker
                worker.start(pickled)
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                worker = busy[pipe]
                try:
                    number, message = pipe.recv()
                except (EOFError, OSError):
                    del busy[pipe]
                    ended, left = worker.end(), list(worker.left.values())
                    if len(left) > 1:
                        waiting.extend([job] for job in left)
                    for job in left if len(left) == 1 else ():
                        yield job, Failure(job.source, f"{job.source}: the process that worked on it {ended}")
                    continue
                if isinstance(message, int | float):
                    progress(worker.left[number], message)
                    continue
                job = worker.left.pop(number)
                if not worker.left and waiting:
                    worker.send(waiting.popleft())
                elif not worker.left:
                    worker.end()
                    del busy[pipe]
                yield job, message
    finally:
        for worker in busy.values():
            worker.end()


class _Worker(Generic[AnyJob]):
    """A process, and the jobs that it works on."""

    def __init__(self, jobs: list[AnyJob]) -> None:
        context = multiprocessing.get_context("spawn")
        self.left = dict(enumerate(jobs))
        """Jobs of its group that have not ended, by their numbers."""
        self.pipe, other_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(other_end,), daemon=True)
        self._process.start()
        other_end.close()  # so that ours ends when the process does

    def start(self, function: bytes) -> None:
        """Send the pickled function and the first group."""
        with contextlib.suppress(OSError):  # the process has died, which receiving will show
            self.pipe.send_bytes(function)
            self.send(list(self.left.values()))

    def send(self, jobs: list[AnyJob]) -> None:
        """Send the next group."""
        self.left = dict(enumerate(jobs))
        with contextlib.suppress(OSError):
            self.pipe.send(jobs)

    def end(self) -> str:
        """Kill the process, remove its incomplete outputs, and describe how it ended.

        It may be called again if it was interrupted.
        """
        self.pipe.close()
        self._process.kill()
        self._process.join()
        for job in self.left.values():
            temporary_path(job.target, writer_name(self._process.pid)).unlink(missing_ok=True)
        status = self._process.exitcode or 0
        if status < 0:
            return f"was ended by signal {-status} (out of memory? use a smaller -j)"
        return f"ended with status {status}; run it again with -j 1"


def _serve(pipe: Connection) -> None:
    """Do jobs until the other end of the pipe is closed.

    If the parent has ended, reporting progress fails, and incomplete output is removed on the way out.
    """
    function = pickle.loads(pipe.recv_bytes())
    import torch

    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            _run_group(pipe, function, pipe.recv())


def _run_group(
    pipe: Connection, function: Callable[[AnyJob, Callable[[float], None]], Any], jobs: list[AnyJob]
) -> None:
    numbers = {job: number for number, job in enumerate(jobs)}

    def progress(job: AnyJob, seconds: float) -> None:
        pipe.send((numbers[job], seconds))

    with contextlib.closing(run_in_threads(function, jobs, len(jobs), progress, take_turns=True)) as ended:
        for job, outcome in ended:
            pipe.send((numbers[job], outcome))
