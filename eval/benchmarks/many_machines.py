"""Speed of encoding over processes of a Ray cluster, and what a large corpus takes at that speed.

``python -m eval.benchmarks.many_machines MODEL FOLDER --out docs/results/scaling.md`` encodes the audio files in FOLDER
in one process and with several actors, compares the bytes, and computes bytes, node hours and money for a corpus.
"""

import argparse
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codec.audio import AUDIO_SUFFIXES
from codec.batch.encode import encode_batch
from codec.batch.inputs import NAC
from codec.batch.jobs import BatchOptions
from codec.batch.report import BatchSummary
from codec.coding.options import CodingOptions
from codec.distributed.cluster import Resources
from codec.distributed.ray_cluster import LOCAL, RayCluster
from codec.errors import UserError
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.registry import load_model
from codec.runtime.command import command_line
from codec.runtime.file_walk import find_files
from codec.runtime.torch_threads import torch_threads
from eval.pages.markdown_section import write_section
from eval.pages.text_table import Table

SECTION = "Many machines: Ray"


@dataclass(frozen=True)
class ScalingPoint:
    """A whole folder, encoded in one way."""

    name: str
    summary: BatchSummary
    busy_s: float
    """Time that the files took, added up, without the start of processes and the distribution."""
    processor_s: float | None
    """Processor time; None on a cluster, whose processes have times of their own."""
    digest: str
    """SHA-256 of all outputs."""

    @property
    def seconds(self) -> float:
        """Duration of the audio in seconds."""
        return 3600 * self.summary.hours


@dataclass(frozen=True)
class CorpusPlan:
    """A corpus, and the machines and prices that it is computed for."""

    hours: float
    source_kbps: float
    """Bit rate of the sources."""
    cores: int
    """Cores per node."""
    node_price: float
    """Price of a node for an hour."""
    storage_price: float
    """Price of a GB for a month."""
    nodes: int
    """Nodes that work at once."""


def measure_scaling(
    model: LoadedModel, folder: Path, kbps: float, workers: Sequence[int], address: str
) -> list[ScalingPoint]:
    """Encode a folder in one process, and with several actors.

    Args:
        model: encodes.
        folder: folder of audio files.
        kbps: bit rate.
        workers: numbers of actors.
        address: address of the Ray cluster.

    Returns:
        A point for one process, and one for each number of actors.

    Raises:
        UserError: a file cannot be encoded, or the cluster cannot be reached.
    """
    ways: list[tuple[str, BatchOptions]] = [("one process", BatchOptions())]
    for number in workers:
        cluster = RayCluster(address, Resources(workers=number))
        ways.append((f"Ray, {number} actor{'s' * (number > 1)}", BatchOptions(workers=cluster)))
    points = []
    for name, options in ways:
        with tempfile.TemporaryDirectory() as out, torch_threads(1):
            started = time.process_time()
            report = encode_batch([folder], Path(out), model, CodingOptions(kbps), options)
            processor_s = time.process_time() - started if options.workers == 1 else None
            if report.failures:
                raise UserError(report.failures[0].reason)
            whole = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(Path(out).rglob(f"*{NAC}"))))
        busy_s = sum(one.elapsed_seconds for one in report.reports)
        points.append(ScalingPoint(name, report.summary, busy_s, processor_s, whole.hexdigest()))
    return points


def scaling_table(points: Sequence[ScalingPoint]) -> Table:
    """Return the measurements as a table.

    Args:
        points: from :func:`measure_scaling`.

    Returns:
        A row per point.
    """
    same = len({point.digest for point in points}) == 1
    return Table(
        "Encoding over processes",
        "All: the whole command, with the start of processes, of Ray and of PyTorch in each actor, which matters less"
        " the longer it runs. Per process: the duration of the audio over the time that the files themselves took,"
        " which other work on the machine makes longer. Processor: over processor time, which it does not. "
        + ("All ways wrote the same bytes." if same else "The bytes DIFFER."),
        ["way", "files", "minutes", "all, x real time", "per process, x real time", "processor, x real time", "kbit/s"],
        [
            [
                point.name,
                f"{point.summary.done:,}",
                f"{60 * point.summary.hours:.1f}",
                f"{point.summary.times_real_time:.0f}",
                f"{point.seconds / point.busy_s:.0f}",
                "" if point.processor_s is None else f"{point.seconds / point.processor_s:.0f}",
                f"{point.summary.kbps:.2f}",
            ]
            for point in points
        ],
    )


def corpus_table(plan: CorpusPlan, speed: float, kbps: float) -> Table:
    """Compute what a corpus takes.

    Args:
        plan: the corpus, machines and prices.
        speed: measured encoding speed of one core in times real time.
        kbps: measured bit rate of the files in kbit/s.

    Returns:
        A row per figure.

    >>> plan = CorpusPlan(1e6, 256, 64, 2.0, 0.02, 10)
    >>> corpus_table(plan, 100.0, 1.6).rows[3:6]
    [['core hours', '10,000'], ['node hours', '156'], ['hours on 10 nodes', '15.6']]
    """
    core_hours = plan.hours / speed
    node_hours = core_hours / plan.cores
    source_gb, coded_gb = (plan.hours * 3600 * rate * 1000 / 8 / 1e9 for rate in (plan.source_kbps, kbps))
    return Table(
        f"{plan.hours:,.0f} hours",
        f"Computed from the measured {speed:.0f} x real time of processor time per core and {kbps:.2f} kbit/s, for"
        f" nodes of {plan.cores} cores that each do as much as one here, at {plan.node_price:g} per node and hour and"
        f" {plan.storage_price:g} per GB and month, and sources of {plan.source_kbps:g} kbit/s.",
        ["figure", "value"],
        [
            ["sources, TB", f"{source_gb / 1000:,.1f}"],
            [".nac files, TB", f"{coded_gb / 1000:,.2f}"],
            ["sources are larger by", f"{source_gb / coded_gb:,.0f} x"],
            ["core hours", f"{core_hours:,.0f}"],
            ["node hours", f"{node_hours:,.0f}"],
            [f"hours on {plan.nodes} nodes", f"{node_hours / plan.nodes:,.1f}"],
            ["read per node meanwhile, MB/s", f"{source_gb * 1000 / node_hours / 3600:,.0f}"],
            ["price of encoding", f"{node_hours * plan.node_price:,.0f}"],
            ["price of keeping the sources for a month", f"{source_gb * plan.storage_price:,.0f}"],
            ["price of keeping the .nac files for a month", f"{coded_gb * plan.storage_price:,.0f}"],
        ],
    )


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m eval.benchmarks.many_machines",
        description="Encode a folder in one process and with several actors of a Ray cluster, and compute what a large"
        " corpus takes at the speed and bit rate measured.",
    )
    parser.add_argument("model", help="name of a built-in model, or folder of a run or model")
    parser.add_argument("folder", type=Path, help="folder of audio files")
    parser.add_argument("--kbps", type=float, default=1.5, help="bit rate in kbit/s (default: %(default)s)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of actors (default: 1 2)")
    parser.add_argument("--ray", default=LOCAL, help="address of the Ray cluster (default: %(default)s)")
    parser.add_argument("--hours", type=float, default=1e6, help="duration of the corpus (default: a million hours)")
    parser.add_argument("--source-kbps", type=float, default=256.0, help="bit rate of its files (default: %(default)s)")
    parser.add_argument("--cores", type=int, default=64, help="cores per node (default: %(default)s)")
    parser.add_argument("--nodes", type=int, default=10, help="nodes (default: %(default)s)")
    parser.add_argument("--node-price", type=float, default=2.0, help="per node and hour (default: %(default)s)")
    parser.add_argument("--storage-price", type=float, default=0.02, help="per GB and month (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="also write the tables as a section of this page in Markdown")
    arguments = parser.parse_args()
    try:
        if not find_files(arguments.folder, AUDIO_SUFFIXES).files:
            raise UserError(f"{arguments.folder}: no audio files in this folder")
        model = load_model(arguments.model)
        points = measure_scaling(model, arguments.folder, arguments.kbps, arguments.workers, arguments.ray)
        plan = CorpusPlan(
            arguments.hours,
            arguments.source_kbps,
            arguments.cores,
            arguments.node_price,
            arguments.storage_price,
            arguments.nodes,
        )
        alone = points[0]
        assert alone.processor_s is not None
        tables = [
            scaling_table(points),
            corpus_table(plan, alone.seconds / alone.processor_s, alone.summary.kbps),
        ]
        for table in tables:
            print(f"{table.title}\n{table.note}\n{table.text()}\n")
        if arguments.out:
            words = command_line("python", "-m", "eval.benchmarks.many_machines", *sys.argv[1:])
            parts = [f"### {table.title}\n\n{table.note}\n\n{table.markdown()}" for table in tables]
            cores = f"Measured on a machine of {os.cpu_count()} cores."
            write_section(arguments.out, SECTION, "\n\n".join([f"Written by\n\n```sh\n{words}\n```", cores, *parts]))
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    _main()
