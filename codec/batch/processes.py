"""Files of a batch on several processes, each with a model of its own; one that dies takes a single file with it.

A pool of the standard library breaks as a whole when one of its processes dies. Here each process has a pipe: in go the
work, once, then one job after the other; out come progress and what became of each job.
"""

import contextlib
import multiprocessing
import pickle
from collections import deque
from collections.abc import Callable, Generator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Generic

from codec.batch.jobs import AnyJob
from codec.coding.report import Failure
from codec.runtime.atomic_files import temporary_path
from codec.runtime.signals import sigint_blocked

Work = Callable[[Any, Callable[[float], None]], Any]
"""Does a job, tells now and then how many more seconds of audio are done, and returns what came of it."""


def run_in_processes(
    work: Work, jobs: Sequence[AnyJob], workers: int, progress: Callable[[AnyJob, float], None]
) -> Generator[tuple[AnyJob, Any]]:
    """Each job with what ``work`` returned, or with a :class:`Failure` where its process died, in the order they end.

    Closing the iterator, or an interrupt, ends the processes at once and leaves nothing half-written.
    """
    sent = pickle.dumps(work)  # multiprocessing's own pickling takes shared memory for weights; containers have little
    waiting = deque(jobs)
    busy: dict[Connection, _Worker[AnyJob]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < workers:
                with sigint_blocked():
                    worker = _Worker(waiting.popleft())
                    busy[worker.pipe] = worker
                worker.take(sent)
            for pipe in wait(list(busy)):
                assert isinstance(pipe, Connection)
                worker, job = busy[pipe], busy[pipe].job
                try:
                    said = pipe.recv()
                except (EOFError, OSError):
                    said = Failure(job.source, f"{job.source}: the process that worked on it {worker.end()}")
                    del busy[pipe]
                    yield job, said
                    continue
                if isinstance(said, int | float):
                    progress(job, said)
                    continue
                if waiting:
                    worker.begin(waiting.popleft())
                else:
                    worker.end()
                    del busy[pipe]
                yield job, said
    finally:
        for worker in busy.values():
            worker.end()


class _Worker(Generic[AnyJob]):
    """A process, and the job that it has."""

    def __init__(self, job: AnyJob) -> None:
        context = multiprocessing.get_context("spawn")
        self.job = job
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()  # so that ours ends when the process does

    def take(self, work: bytes) -> None:
        """What to do with jobs, beginning with the first."""
        with contextlib.suppress(OSError):  # it has died: receiving will say so
            self.pipe.send_bytes(work)
            self.begin(self.job)

    def begin(self, job: AnyJob) -> None:
        self.job = job
        with contextlib.suppress(OSError):
            self.pipe.send(job)

    def end(self) -> str:
        """Ends it, whatever it is at, removes what it had begun to write, and says how it ended. May be called again,
        where an interrupt cut it short."""
        self.pipe.close()
        self._process.kill()
        self._process.join()
        temporary_path(self.job.target, self._process.pid).unlink(missing_ok=True)
        status = self._process.exitcode or 0
        if status < 0:
            return f"was ended by signal {-status} (out of memory? use a smaller -j)"
        return f"ended with status {status}; run it again with -j 1"


def _serve(pipe: Connection) -> None:
    """What a process does. When the other end is gone, so is whoever wanted this: telling progress fails, too, and
    what is half-written is removed on the way out."""
    work = pickle.loads(pipe.recv_bytes())
    import torch

    torch.set_num_threads(1)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            pipe.send(work(pipe.recv(), pipe.send))
