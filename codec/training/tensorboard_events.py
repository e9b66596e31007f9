"""The metrics of a run as TensorBoard event files, if the ``tensorboard`` package is installed."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from codec.runtime.extras import installed
from codec.training.metrics_log import MetricsLog

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_FOLDER = "tensorboard"


class _TensorBoardEvents:
    """Writer of event files, which are created with the first value."""

    def __init__(self, folder: Path, purge_step: int | None):
        self._folder, self._purge_step = folder, purge_step
        self._writer: SummaryWriter | None = None

    def write(self, step: int, split: str, terms: Mapping[str, float]) -> None:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=self._purge_step)  # type: ignore[no-untyped-call]
        for term, value in terms.items():
            self._writer.add_scalar(f"{split}/{term}", value, step)  # type: ignore[no-untyped-call]

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def record_tensorboard_events(metrics: MetricsLog, run: Path, purge_step: int | None) -> Iterator[None]:
    """Also write the metrics of a run to TensorBoard event files while the block runs.

    Without the ``tensorboard`` package, nothing is written; ``metrics.csv`` holds the same values.

    Args:
        metrics: the table of the run
        run: folder of the run
        purge_step: when a run is resumed, values of earlier event files from this step on are hidden

    Yields:
        Nothing.

    Raises:
        OSError: the files cannot be written.
    """
    if not installed("tensorboard"):
        yield
        return
    events = _TensorBoardEvents(run / _FOLDER, purge_step)
    # TensorBoard's thread raises a failure to write in the main thread, but Python also prints it
    metrics.events, threading.excepthook, before = events, _print_all_but_failures_to_write, threading.excepthook
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError, RuntimeError):
            events.close()
        raise
    else:
        events.close()
    finally:
        metrics.events, threading.excepthook = None, before


def _print_all_but_failures_to_write(failure: threading.ExceptHookArgs) -> None:
    if not issubclass(failure.exc_type, OSError):
        threading.__excepthook__(failure)
