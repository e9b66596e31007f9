"""Loggers that get the values of ``metrics.csv`` as well: those of Lightning, and Trackio.

The recipe's ``logger`` chooses one. By default it is TensorBoard, if its package is installed.
"""

import contextlib
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, TensorBoardLogger, WandbLogger

from codec.config import Recipe
from codec.errors import UserError
from codec.recipe import settings_of
from codec.runtime.atomic_files import write_text
from codec.runtime.extras import installed, require_installed
from codec.runtime.json_files import read_json
from codec.training.metrics_log import MetricsLog

LOGGER_RECORD = "logger.json"
"""File of a run with the identifier that the server of a logger knows the run by."""
PROJECT = "lathe"
"""Project or experiment of runs, if the environment names no other."""
_LOCAL = ("tensorboard", "csv")
"""Loggers that only write files."""


def check_logger(name: str) -> None:
    """Check that the packages of a logger are installed, before data is read.

    Args:
        name: the recipe's ``logger``

    Raises:
        UserError: they are not; the message has the command that installs them.
    """
    if name not in ("auto", "none", "csv"):
        require_installed(f"logger: {name}", name)


@dataclass(frozen=True)
class _Run:
    folder: Path
    purge_step: int | None
    identifier: str | None
    """That by which the logger's server knows the run; None: it is a new one there."""


def _tensorboard(run: _Run) -> Logger:
    return TensorBoardLogger(
        run.folder, name="", version="tensorboard", default_hp_metric=False, purge_step=run.purge_step
    )


def _csv(run: _Run) -> Logger:
    return CSVLogger(run.folder, name="csv", flush_logs_every_n_steps=1)


def _wandb(run: _Run) -> Logger:
    project = os.environ.get("WANDB_PROJECT", PROJECT)
    return WandbLogger(run.folder.name, run.folder, project=project, id=run.identifier, resume="allow")


def _mlflow(run: _Run) -> Logger:
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
    where = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{run.folder.resolve() / 'mlflow.db'}"
    return MLFlowLogger(experiment, run.folder.name, where, run_id=run.identifier)


class _TrackioLogger(Logger):
    """Logger of Trackio, which has the calls of Weights & Biases and stores values on this machine or in a Space."""

    def __init__(self, run: _Run) -> None:
        super().__init__()
        self._run, self._started = run, False

    @property
    def name(self) -> str:
        return os.environ.get("TRACKIO_PROJECT", PROJECT)

    @property
    def version(self) -> str:
        return self._run.identifier or self._run.folder.name

    @property
    def experiment(self) -> Any:
        import trackio

        if not self._started:
            trackio.init(project=self.name, name=self.version, resume="allow", embed=False)
            self._started = True
        return trackio

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.experiment.log(dict(metrics), step=step)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        self.experiment.config.update(dict(params))

    def finalize(self, status: str) -> None:
        if self._started:
            self.experiment.finish()


_MAKERS: dict[str, Callable[[_Run], Logger]] = {
    "tensorboard": _tensorboard,
    "csv": _csv,
    "wandb": _wandb,
    "mlflow": _mlflow,
    "trackio": _TrackioLogger,
}


class _LoggedValues:
    """Destination of metrics that passes them to a logger."""

    def __init__(self, logger: Logger) -> None:
        self._logger = logger

    def write(self, step: int, split: str, terms: Mapping[str, float]) -> None:
        try:
            self._logger.log_metrics({f"{split}/{term}": float(value) for term, value in terms.items()}, step)
        except ValueError as error:  # by which Lightning's TensorBoardLogger hides a full disk
            raise error.__cause__ if isinstance(error.__cause__, OSError) else error from None


@contextlib.contextmanager
def record_in_logger(metrics: MetricsLog, recipe: Recipe, run: Path, purge_step: int | None) -> Iterator[None]:
    """Pass the metrics of a run also to the logger of its recipe while the block runs.

    Args:
        metrics: the table of the run
        recipe: settings of the run, with ``logger``
        run: folder of the run
        purge_step: step from which a resumed run records values again, which TensorBoard hides in earlier files; None
            for a new run

    Yields:
        Nothing.

    Raises:
        UserError: the logger cannot be started, such as for want of a login.
        OSError: files cannot be written.
    """
    name = ("tensorboard" if installed("tensorboard") else "none") if recipe.logger == "auto" else recipe.logger
    if name == "none":
        yield
        return
    logger = _start(name, recipe, run, purge_step)
    # TensorBoard's thread raises a failure to write in the main thread, but Python also prints it
    before, threading.excepthook = threading.excepthook, _print_all_but_failures_to_write
    metrics.events = _LoggedValues(logger)
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError, RuntimeError):
            _end(name, logger, "failed")
        raise
    else:
        _end(name, logger, "success")
    finally:
        metrics.events, threading.excepthook = None, before


def _start(name: str, recipe: Recipe, run: Path, purge_step: int | None) -> Logger:
    """Make the logger; one with a server is connected to it now, so that its errors come before the training."""
    identifier = _read_identifier(run, name) if purge_step is not None else None
    logger = _MAKERS[name](_Run(run, purge_step, identifier))
    if name in _LOCAL:
        return logger
    try:
        _ = logger.experiment  # type: ignore[attr-defined]  # of each logger, if not of their base
        if identifier is None:
            logger.log_hyperparams({key: value for key, value in settings_of(recipe) if value not in ("", None)})
    except (OSError, UserError):
        raise
    except Exception as error:  # each package has errors of its own
        raise UserError(f"logger: {name} cannot be started ({' '.join(str(error).split())[:300]})") from error
    write_text(run / LOGGER_RECORD, json.dumps({"logger": name, "id": str(logger.version)}) + "\n")
    return logger


def _read_identifier(run: Path, name: str) -> str | None:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        record = read_json(run / LOGGER_RECORD)
        return str(record["id"]) if record["logger"] == name else None
    return None


def _end(name: str, logger: Logger, status: str) -> None:
    logger.finalize(status)
    if name == "wandb":  # which would else go on until the process ends
        logger.experiment.finish(exit_code=int(status != "success"))  # type: ignore[attr-defined]


def _print_all_but_failures_to_write(failure: threading.ExceptHookArgs) -> None:
    if not issubclass(failure.exc_type, OSError):
        threading.__excepthook__(failure)
