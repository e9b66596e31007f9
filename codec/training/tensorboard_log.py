"""Curves for TensorBoard, where the extra ``[tensorboard]`` is installed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.loggers import Logger, TensorBoardLogger

from codec.runtime.extras import MODULES, installed

FOLDER = "tensorboard"
"""In the folder of a run."""


def tensorboard_loggers(run: Path, purge_step: int | None) -> list[Logger]:
    """Return the logger that writes for TensorBoard, or none if TensorBoard is not installed.

    Args:
        run: folder of the run.
        purge_step: first step of those written before that are to be written again.
    """
    if not all(map(installed, MODULES["tensorboard"])):
        return []
    return [TensorBoardLogger(run, name=FOLDER, version="", purge_step=purge_step)]


@contextmanager
def write_errors_reported_once() -> Iterator[None]:
    """Keep TensorBoard's thread from printing the trace of an ``OSError`` that it then raises in the main thread."""
    before = threading.excepthook
    threading.excepthook = _print_all_but_write_errors
    try:
        yield
    finally:
        threading.excepthook = before


def _print_all_but_write_errors(failure: threading.ExceptHookArgs) -> None:
    if not issubclass(failure.exc_type, OSError):
        threading.__excepthook__(failure)
