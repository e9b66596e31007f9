"""Files of a batch in concurrent threads of one process, so that their blocks are computed in common batches.

A GPU needs such batches; see :mod:`codec.model.dynamic_batching`. The interface is that of
:mod:`codec.batch.processes`.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

from codec.errors import UserError
from codec.runtime.torch_threads import torch_threads_setter

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class _Progress(Generic[_Item]):
    item: _Item
    seconds: float


@dataclass(frozen=True)
class _Ended(Generic[_Item]):
    item: _Item
    outcome: Any


def run_in_threads(
    work: Callable[[_Item, Callable[[float], None]], Any],
    items: Sequence[_Item],
    threads: int,
    progress: Callable[[_Item, float], None],
) -> Generator[tuple[_Item, Any]]:
    """Call a function for each item, several at a time.

    Closing the iterator, an error, or an interrupt ends the other calls at their next block, and waits until they have
    removed their incomplete output.

    Args:
        work: called with an item and a function that takes the seconds of audio that were processed
        items: the items, processed in this order
        threads: number of concurrent calls; one means no threads at all
        progress: called in the calling thread with each item and the seconds that ``work`` reports for it

    Yields:
        Each item with the result of ``work``, in order of completion.

    Raises:
        UserError: not enough memory on the device for so many files.
        Exception: any error of ``work``, in the calling thread.
    """
    threads = min(threads, len(items))
    if threads <= 1:
        for item in items:
            yield item, work(item, partial(progress, item))
        return
    from codec.model.dynamic_batching import DynamicBatcher

    batcher, set_torch_threads, left = DynamicBatcher(threads), torch_threads_setter(), iter(items)
    received: SimpleQueue[_Progress[_Item] | _Ended[_Item] | BaseException] = SimpleQueue()

    def report(item: _Item, seconds: float) -> None:
        batcher.check()
        received.put(_Progress(item, seconds))

    def run() -> None:
        try:
            set_torch_threads()
            with batcher.concurrent_file():
                for item in left:  # shared: each thread takes the next
                    batcher.check()
                    received.put(_Ended(item, work(item, partial(report, item))))
        except BaseException as error:
            if type(error).__name__ == "OutOfMemoryError":  # PyTorch's, which need not be imported
                reason = str(error).splitlines()[0]
                error = UserError(f"{threads} files at once are too many ({reason}); use a smaller --batch")
            received.put(error)

    running = [Thread(target=run) for _ in range(threads)]
    try:
        for thread in running:
            thread.start()
        ended = 0
        while ended < len(items):
            message = received.get()
            if isinstance(message, BaseException):
                raise message
            if isinstance(message, _Progress):
                progress(message.item, message.seconds)
            else:
                ended += 1
                yield message.item, message.outcome
    finally:
        batcher.stop()
        for thread in running:
            if thread.ident:
                thread.join()
