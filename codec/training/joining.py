"""Connecting the processes of a training, which must have been started alike, and ending all when one ends."""

import contextlib
import io
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed

from codec.errors import UserError
from codec.model.processes import ONE_PROCESS, Processes, ProcessGroup
from codec.runtime.process_layout import ProcessLayout, find_layout

_TIMEOUT = timedelta(minutes=30)
"""The longest that the others wait for one process, such as the leader while it fits the first weights."""
_CONNECT_TIMEOUT = timedelta(minutes=10)
"""The longest that the first process waits for the last one to start."""
_PATIENCE_S = 20.0
"""Time after which a note says what is being waited for."""
_REPORTED = "reported"
_LOST = ("onnection", "Gloo", "gloo", "NCCL", "timed out", "Timed out", "Broken pipe", "process group")
"""Words of the errors that ``torch.distributed`` raises when another process is gone."""


class OtherProcessEnded(UserError):
    """Another process of the training has ended, so this one has to.

    Args:
        message: one sentence
        reported: whether another process has printed the reason
    """

    def __init__(self, message: str, reported: bool):
        super().__init__(message)
        self.reported = reported


@contextmanager
def joined_processes() -> Iterator[Processes]:
    """Connect to the other processes of a training while the block runs.

    Processes other than the leader print nothing to standard output. If the block ends in an error in one process, it
    does in all; the first of them raises the reason, and the others raise :class:`OtherProcessEnded`.

    Yields:
        All processes; :data:`codec.model.processes.ONE_PROCESS` if this one was not started as one of several.

    Raises:
        UserError: the environment variables are wrong, or the processes find each other not in time.
        OtherProcessEnded: as above.
    """
    layout = find_layout()
    if layout is None:
        yield ONE_PROCESS
        return
    store = _connect(layout)
    try:
        with contextlib.nullcontext() if layout.rank == 0 else contextlib.redirect_stdout(io.StringIO()):
            yield ProcessGroup()
    except UserError as error:
        if _is_first(store):
            raise
        raise OtherProcessEnded(str(error), reported=True) from error
    except RuntimeError as error:
        if not any(word in str(error) for word in _LOST):
            _is_first(store)
            raise
        message = (
            f"process {layout.rank} stops, because another process of this training has ended; the same command goes on"
            " from the last checkpoint"
        )
        raise OtherProcessEnded(message, reported=not _is_first(store)) from error
    finally:
        distributed.destroy_process_group()


def require_same(processes: Processes, **started_with: object) -> None:
    """Check that this process was started as the first one was, perhaps on another machine.

    Args:
        processes: all processes of the training
        started_with: what must be equal in all of them, by the name that an error has for it

    Raises:
        UserError: something is not.
    """
    for name, own in started_with.items():
        if own != processes.from_leader(own):
            raise UserError(
                f"process {processes.rank} of this training has another {name} than process 0; start all with the same"
                " command and the same version of Lathe"
            )


def own_device() -> torch.device:
    """Return the device on which this process computes.

    Returns:
        Its GPU, that with its number on the machine, or the CPU.
    """
    layout = find_layout()
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", (layout.local_rank if layout else 0) % torch.cuda.device_count())


def _connect(layout: ProcessLayout) -> distributed.Store:
    gpu = torch.cuda.is_available()
    if gpu and layout.local_count > torch.cuda.device_count() > 1:
        raise UserError(
            f"{layout.local_count} processes were started on this machine, but it has {torch.cuda.device_count()} GPUs;"
            " start one for each"
        )
    device = own_device()
    if gpu:
        torch.cuda.set_device(device)
    # torchrun's own process listens already; elsewhere, process 0 does
    agent = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    try:
        with _note_while_waiting(layout):
            store = distributed.TCPStore(
                layout.address, layout.port, layout.count, layout.rank == 0 and not agent, _CONNECT_TIMEOUT
            )
        distributed.init_process_group(
            "cpu:gloo,cuda:nccl" if gpu else "gloo",
            store=distributed.PrefixStore(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"), store),
            rank=layout.rank,
            world_size=layout.count,
            timeout=_TIMEOUT,
            device_id=device if gpu else None,
        )
    except (RuntimeError, OSError) as error:
        raise UserError(
            f"process {layout.rank} of {layout.count} did not find the others at {layout.address}:{layout.port}"
            f" ({str(error).splitlines()[0]}); check that all were started, and MASTER_ADDR and MASTER_PORT"
        ) from error
    return store


@contextmanager
def _note_while_waiting(layout: ProcessLayout) -> Iterator[None]:
    note = (
        f"codec: note: process {layout.rank} of {layout.count} waits for the others at {layout.address}:{layout.port};"
        f" it gives up after {_CONNECT_TIMEOUT.seconds // 60} minutes"
    )
    timer = threading.Timer(_PATIENCE_S, lambda: print(note, file=sys.stderr, flush=True))
    timer.daemon = True
    if layout.local_rank == 0:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _is_first(store: distributed.Store) -> bool:
    """Determine whether no other process has reported an error, as far as the one that holds the store still runs."""
    try:
        return store.add(_REPORTED, 1) == 1
    except RuntimeError:
        return True
