"""Files of a batch side by side in one process, each in a thread of its own, so that their blocks are computed
together, as a GPU wants it; see :mod:`codec.model.dynamic_batching`. To those who run a batch it is what
:mod:`codec.batch.processes` is.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

import torch

from codec.errors import UserError
from codec.model.dynamic_batching import DynamicBatcher

Job = TypeVar("Job")


@dataclass(frozen=True)
class _Progress(Generic[Job]):
    job: Job
    seconds: float


@dataclass(frozen=True)
class _Ended(Generic[Job]):
    job: Job
    outcome: Any


def run_in_threads(
    work: Callable[[Job, Callable[[float], None]], Any],
    jobs: Sequence[Job],
    lanes: int,
    progress: Callable[[Job, float], None],
) -> Generator[tuple[Job, Any]]:
    """Each job with what ``work`` returned, in the order they end; with one lane, one job after the other, in this
    thread. ``progress`` is told of it in this thread in any case, where an error that ``work`` raises is raised, too.

    Closing the iterator, an error, or an interrupt ends the others at their next block; what they had begun to write is
    gone when this returns.
    """
    lanes = min(lanes, len(jobs))
    if lanes <= 1:
        for job in jobs:
            yield job, work(job, partial(progress, job))
        return
    meeting, threads_each, left = DynamicBatcher(lanes), torch.get_num_threads(), iter(jobs)
    heard: SimpleQueue[_Progress[Job] | _Ended[Job] | BaseException] = SimpleQueue()

    def tell(job: Job, seconds: float) -> None:
        meeting.check()
        heard.put(_Progress(job, seconds))

    def lane() -> None:
        try:
            torch.set_num_threads(threads_each)  # each thread has a number of its own
            with meeting.concurrent_file():
                for job in left:  # of all lanes: each takes the next
                    meeting.check()
                    heard.put(_Ended(job, work(job, partial(tell, job))))
        except torch.OutOfMemoryError as error:
            reason = str(error).splitlines()[0]
            heard.put(UserError(f"{lanes} files at once are too many ({reason}); use a smaller --batch"))
        except BaseException as error:
            heard.put(error)

    threads = [Thread(target=lane) for _ in range(lanes)]
    try:
        for thread in threads:
            thread.start()
        ended = 0
        while ended < len(jobs):
            said = heard.get()
            if isinstance(said, BaseException):
                raise said
            if isinstance(said, _Progress):
                progress(said.job, said.seconds)
            else:
                ended += 1
                yield said.job, said.outcome
    finally:
        meeting.stop()
        for thread in threads:
            if thread.ident:
                thread.join()
