"""Limit the CPU threads of PyTorch for a while."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let PyTorch use ``count`` CPU threads while the block runs, and as many as before afterwards.

    The number belongs to the calling thread: threads that start within the block have PyTorch's default.

    Args:
        count: threads of one operation, such as a matrix product; 1 makes results independent of the machine's cores

    Yields:
        Nothing.
    """
    import torch  # the command line imports this package before it needs PyTorch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def torch_threads_setter() -> Callable[[], None]:
    """Take the number of CPU threads of the calling thread over to others, each of which has a setting of its own.

    Returns:
        A function that the other threads call. It does nothing if PyTorch is not imported.
    """
    if "torch" not in sys.modules:
        return lambda: None
    import torch

    count = torch.get_num_threads()
    return lambda: torch.set_num_threads(count)
