"""Options of commands that can run on many machines, with Ray or SLURM."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from codec.errors import UserError

if TYPE_CHECKING:
    from codec.distributed.cluster import Cluster


def add_cluster_options(parser: argparse.ArgumentParser, *, gpus: bool = False) -> None:
    """Add the arguments.

    Args:
        parser: parser of the command
        gpus: whether processes can compute on GPUs
    """
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="compute on a Ray cluster: auto, HOST:PORT or ray://HOST:PORT; local starts one on this machine. -j is"
        " then the number of actors (default: as many as there is room for); see docs/many_machines.md",
    )
    where.add_argument(
        "--slurm",
        type=_sbatch_options,
        metavar="NAME=VALUE,…",
        help="compute in a job array of SLURM with these long options of sbatch, such as partition=cpu,time=600 (in"
        " minutes); local runs its tasks on this machine, without SLURM. -j is then the number of tasks (default: 16)",
    )
    if gpus:
        parser.add_argument(
            "--gpus",
            type=float,
            metavar="N",
            help="with --ray and --slurm: GPUs per process, with Ray also a part of one (default: 1 with --device cuda,"
            " else 0)",
        )


def _sbatch_options(text: str) -> dict[str, str]:
    if text == "local":
        return {text: ""}
    pairs = dict(pair.partition("=")[::2] for pair in text.split(","))
    if not all(name and value for name, value in pairs.items()):
        raise argparse.ArgumentTypeError(f"must be NAME=VALUE,… or local, not {text}")
    return pairs


def uses_cluster(arguments: argparse.Namespace) -> bool:
    """Determine whether a cluster was requested.

    Args:
        arguments: arguments of a command with :func:`add_cluster_options`

    Returns:
        Whether there is ``--ray`` or ``--slurm``.
    """
    return arguments.ray is not None or arguments.slurm is not None


def workers(
    arguments: argparse.Namespace, folder: Path, default: int = 1, threads: int = 1, device: str = "cpu"
) -> "int | Cluster":
    """Return what computes.

    Args:
        arguments: arguments of a command with :func:`add_cluster_options` and ``-j``
        folder: folder of the outputs, which all machines share
        default: processes on this machine without ``-j``
        threads: threads of each process
        device: device of the models

    Returns:
        A cluster, or else the number of processes on this machine.

    Raises:
        UserError: ``--gpus`` is given without a cluster or is below 0, or the device cannot be used on a cluster.
    """
    gpus = getattr(arguments, "gpus", None)
    if not uses_cluster(arguments):
        if gpus is not None:
            raise UserError("--gpus is for --ray and --slurm; give one of them, or leave it out")
        return default if arguments.workers is None else int(arguments.workers)
    from codec.distributed.cluster import Resources
    from codec.distributed.ray_cluster import RayCluster
    from codec.distributed.slurm_cluster import LOCAL, SlurmCluster

    if device == "onnx":
        raise UserError("--device onnx runs on this machine alone; leave out --ray and --slurm, or take cpu or cuda")
    if gpus is not None and gpus < 0:
        raise UserError(f"--gpus must be 0 or more, not {gpus:g}")
    on_gpu = 0.0 if device == "cpu" else 1.0
    resources = Resources(arguments.workers, threads, on_gpu if gpus is None else gpus, device)
    if arguments.ray is not None:
        return RayCluster(arguments.ray, resources)
    local = LOCAL in arguments.slurm
    return SlurmCluster(folder, {} if local else arguments.slurm, local, resources)
