"""Ray as a cluster: an actor for each process, which takes the next unit when it has computed one.

This module decides itself what becomes of the units of an actor that died, and starts another actor in its place;
Ray's own repetitions of actors and tasks are off. An actor gets units only when it runs, so that one for which there is
no room holds nothing up.
"""

from __future__ import annotations

import logging
import os
import pickle
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from codec.distributed.cluster import DEFAULT_RESOURCES, Cluster, OnLoss, Resources, UnitFunction
from codec.distributed.units import Lost, Unit, UnitPool
from codec.distributed.worker import Worker, WorkerPlace, installed_versions, unpickle_result
from codec.errors import UserError
from codec.runtime.extras import require_installed

LOCAL = "local"
"""Address of a cluster of this machine alone, which is started and ended with the command."""
_POLL_S = 1.0
_PATIENCE_S = 15.0
"""Seconds without any running actor before a note says what is being waited for."""
_MAX_FAILED_STARTS = 10
"""Actors that may die in a row before any of them runs."""


@dataclass(frozen=True)
class RayCluster(Cluster):
    """A Ray cluster.

    Args:
        address: as ``ray.init`` takes it: ``auto`` for the cluster that this machine belongs to, ``HOST:PORT``, or
            ``ray://HOST:PORT``; :data:`LOCAL` starts a cluster on this machine
        resources: of each actor
    """

    address: str
    resources: Resources = DEFAULT_RESOURCES

    @contextmanager
    def open(self, start: Callable[[], UnitFunction], on_loss: OnLoss) -> Iterator[UnitPool]:
        """Connect for the time of a block; see :meth:`codec.distributed.cluster.Cluster.open`."""
        require_installed("--ray", "ray")
        pickled = pickle.dumps(start)
        with _connected(self.address), _Actors(self.resources, pickled, on_loss).ended() as pool:
            yield pool


@contextmanager
def _connected(address: str) -> Iterator[None]:
    import ray

    if ray.is_initialized():  # by the program that calls us; it keeps its connection
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        options: dict[str, Any] = {"include_dashboard": False} if address == LOCAL else {}
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False, **options)
    except Exception as error:  # Ray raises this very class if a node starts too slowly
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        found = "started on this machine" if address == LOCAL else "reached there"
        raise UserError(f"--ray {address}: no Ray cluster can be {found} ({reason})") from error
    finally:
        with suppress(ValueError):  # not the main thread, to which signals do not come
            for number, handler in handlers.items():  # Ray replaces them
                signal.signal(number, handler)
    try:
        yield
    finally:
        ray.shutdown()


@dataclass(frozen=True)
class _Actor:
    handle: Any
    place: WorkerPlace


class _Actors(UnitPool):
    """The actors of a command, and the units that they compute. Keys are references to results that will be."""

    def __init__(self, resources: Resources, pickled: bytes, on_loss: OnLoss) -> None:
        import ray

        self._ray, self._resources, self._on_loss = ray, resources, on_loss
        self._pickled = ray.put(pickled)  # once, not with each actor
        self._class: Any = ray.remote(
            num_cpus=resources.threads,
            num_gpus=resources.gpus,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy="SPREAD",
        )(Worker)
        self._starting: dict[Any, Any] = {}
        self._idle: list[_Actor] = []
        self._busy: dict[Any, tuple[_Actor, int, Unit]] = {}
        self._failed_starts = 0
        self._last_running = time.monotonic()

    @contextmanager
    def ended(self) -> Iterator[_Actors]:
        """End all actors at the end of a block."""
        try:
            yield self
        finally:
            for handle in (*self._starting.values(), *(actor.handle for actor in self._idle)):
                self._ray.kill(handle)
            for actor, _, unit in self._busy.values():
                self._ray.kill(actor.handle)
                self._on_loss(unit, actor.place.writer)

    def run(self, units: Sequence[Unit]) -> Generator[tuple[int, list[Any] | Lost], None, None]:
        """Compute units; see :meth:`codec.distributed.units.UnitPool.run`."""
        waiting = deque(enumerate(units))
        while waiting or self._busy:
            self._start_actors(len(waiting) + len(self._busy))
            while waiting and self._idle:
                actor, (index, unit) = self._idle.pop(), waiting.popleft()
                self._busy[actor.handle.run.remote(pickle.dumps(unit))] = actor, index, unit
            self._tell_wait()
            ready, _ = self._ray.wait([*self._starting, *self._busy], num_returns=1, timeout=_POLL_S)
            for reference in ready:
                if reference in self._starting:
                    self._take_started(reference)
                else:
                    yield self._take_result(reference)

    def _start_actors(self, units: int) -> None:
        """Start as many actors as there is room for, also on machines that have come since."""
        room = self._room() if self._resources.workers is None else self._resources.workers
        wanted = min(units, max(1, room))
        while len(self._starting) + len(self._idle) + len(self._busy) < wanted:
            handle = self._class.remote()
            self._starting[handle.start.remote(self._pickled, os.getcwd(), installed_versions())] = handle

    def _room(self) -> int:
        there = self._ray.cluster_resources()
        room = int(there.get("CPU", 0) // self._resources.threads)
        if self._resources.gpus:
            room = min(room, int(there.get("GPU", 0) / self._resources.gpus))
        return room

    def _take_started(self, reference: Any) -> None:
        handle = self._starting.pop(reference)
        try:
            place = unpickle_result(self._ray.get(reference))
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= _MAX_FAILED_STARTS:
                raise UserError(f"no worker of the cluster runs: {_reason(error)}") from error
            return
        self._failed_starts = 0
        self._idle.append(_Actor(handle, place))

    def _take_result(self, reference: Any) -> tuple[int, list[Any] | Lost]:
        actor, index, unit = self._busy[reference]
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            del self._busy[reference]
            self._ray.kill(actor.handle)  # if it lives, behind a broken connection
            self._on_loss(unit, actor.place.writer)
            return index, Lost(f"the worker {actor.place} has died ({_reason(error)})")
        del self._busy[reference]
        self._idle.append(actor)
        return index, unpickle_result(answer)

    def _tell_wait(self) -> None:
        now = time.monotonic()
        if self._busy or self._idle:
            self._last_running = now
        elif now - self._last_running > _PATIENCE_S:
            self._last_running = now
            wanted = f"{self._resources.threads} CPUs and {self._resources.gpus:g} GPUs on one machine"
            text = f"waiting for a first worker, which needs {wanted}"
            tqdm.write(f"codec: note: {text}", file=sys.stderr)


def _reason(error: Exception) -> str:
    """Return the line of Ray's message that says why."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "dead because" in line or "unavailable" in line), (lines or ["unknown"])[0])
