"""Kill actors of a Ray cluster at random moments while they encode, and compare the files with those of one process.

``python -m eval.benchmarks.cluster_survival MODEL --kills 10 --out FOLDER`` starts a cluster of two nodes on this
machine (Linux) and encodes noise that it makes itself, as often as it takes for that number of SIGKILLs. Nothing may be
lost, doubled, failed or left half-written.
"""

import argparse
import os
import random
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from codec import audio
from codec.batch.encode import encode_batch
from codec.batch.inputs import NAC
from codec.batch.jobs import BatchOptions
from codec.distributed.ray_cluster import RayCluster
from codec.errors import UserError
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.registry import load_model
from codec.runtime.extras import require_installed
from eval.pages.text_table import Table

_FILES, _SECONDS, _RATE = 24, 20.0, 16_000
_NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
_PAUSE_S = 4.0
"""Longest time between the start of an actor's work and its end."""
_TITLE = "ray::Worker"
"""Ray names the processes of actors after the class and the method that runs."""
_BUSY = f"{_TITLE}.run"
_PHASES = {f"{_TITLE}.start": "start", _BUSY: "encoding"}


def survive_on_cluster(model: LoadedModel, out: Path, kills: int, seed: int) -> Table:
    """Encode in one process, and on a cluster whose actors are killed; compare.

    Args:
        model: encodes.
        out: folder for sounds and files, which must not exist.
        kills: number of SIGKILLs.
        seed: seed of the moments.

    Returns:
        A row for each phase with the number of kills in it.

    Raises:
        UserError: the files differ, a file failed, ``out`` exists, or Ray is not installed.
    """
    require_installed("this benchmark", "ray")
    if out.exists():
        raise UserError(f"{out} exists; choose another folder")
    generator = np.random.default_rng(seed)
    (out / "sounds").mkdir(parents=True)
    for number in range(_FILES):
        noise = generator.uniform(-0.3, 0.3, (1, int(_SECONDS * _RATE))).astype(np.float32)
        audio.write(out / f"sounds/{number:02}.wav", noise, _RATE)
    encode_batch([out / "sounds"], out / "alone", model)
    killer, rounds = _Killer(kills, seed), 0
    with _two_nodes() as cluster:
        killer.session = cluster.head_node.get_session_dir_path()
        while killer.left:
            rounds += 1
            folder = out / f"cluster{rounds}"
            with killer.at_work():
                report = encode_batch(
                    [out / "sounds"], folder, model, batch=BatchOptions(workers=RayCluster(cluster.address))
                )
            if report.failures:
                raise UserError(report.failures[0].reason)
            if _read(folder) != _read(out / "alone") or any(folder.rglob("*.part")):
                raise UserError(f"{folder} has other files than {out / 'alone'}")
    note = f"{kills} kills of actors in {rounds} runs of {_FILES} files; each run wrote the bytes of one process."
    rows = [[name, str(count)] for name, count in killer.phases.most_common()]
    return Table("Survival on a cluster", note, ["killed in", "kills"], rows)


@contextmanager
def _two_nodes() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args=_NODE)
    try:
        cluster.add_node(**_NODE)
        yield cluster
    finally:
        cluster.shutdown()


def _read(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob(f"*{NAC}")}


class _Killer:
    """Kills actors in a thread of its own."""

    def __init__(self, kills: int, seed: int) -> None:
        self.left, self.session = kills, ""
        self.phases = Counter[str]()
        self._moments = random.Random(seed)
        self._ended = threading.Event()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        self._ended.clear()
        thread = threading.Thread(target=self._work)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    def _work(self) -> None:
        while self.left and not self._ended.is_set():
            # a third of the kills comes at any time; the others after an actor has begun with a file
            if self._moments.random() > 1 / 3:
                while not self._ended.wait(0.05) and not any(title == _BUSY for title, _ in self._actors()):
                    pass
            if self._ended.wait(self._moments.uniform(0, _PAUSE_S)):
                return
            if actors := self._actors():
                title, process = self._moments.choice(actors)
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    self.left -= 1
                    self.phases[_PHASES.get(title, "between files")] += 1

    def _actors(self) -> list[tuple[str, int]]:
        """Return title and number of the processes of the cluster's actors."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError, IndexError):  # it has ended
                title = (place / "cmdline").read_text().partition("\0")[0].strip()
                if title.startswith(_TITLE):
                    parent = (place / "stat").read_text().rpartition(")")[2].split()[1]
                    if self.session in Path(f"/proc/{parent}/cmdline").read_text():
                        found.append((title, int(place.name)))
        return sorted(found)


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m eval.benchmarks.cluster_survival", description="Kill actors of a Ray cluster."
    )
    parser.add_argument("model", help="name of a built-in model, or folder of a run or model")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder for files; must not exist")
    parser.add_argument("--kills", type=int, default=10, help="number of SIGKILLs (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        table = survive_on_cluster(load_model(arguments.model), arguments.out, arguments.kills, arguments.seed)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"{table.title}: {table.note}\n{table.text()}")


if __name__ == "__main__":
    _main()
