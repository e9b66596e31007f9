"""Options and output that encode, decode and tokens share: they work on many files."""

import argparse
import json
import os
from collections.abc import Collection
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from codec.cli.cluster_options import add_cluster_options, uses_cluster, workers
from codec.cli.common import FAILED, add_quiet_option, describe_losses, positive, print_error
from codec.cli.models import MODEL_VARIABLE
from codec.errors import UserError
from codec.pretrained import DEFAULT_MODEL
from codec.runtime.messages import is_quiet

if TYPE_CHECKING:
    from codec.batch.jobs import BatchOptions
    from codec.batch.report import BatchReport

GPU_BATCH = 16
"""Files whose blocks a GPU computes together by default: some thousand frames."""
ENCODING_MODEL = f"that of the variable {MODEL_VARIABLE}, else {DEFAULT_MODEL}"


def add_batch_options(parser: argparse.ArgumentParser, inputs: str, model: str, one_file: str = "") -> None:
    """Add the arguments of a command on many files.

    Args:
        parser: parser of the command
        inputs: kind of the files, for the help
        model: the default model, for the help
        one_file: suffixes of the output of a single file, for the help, if the command can write one; ``-`` is then
            an input as well, and needs no output
    """
    parser.add_argument(
        "inputs",
        type=Path,
        nargs="*",
        metavar="IN",
        help=f"{inputs}, folders of them, or patterns such as 'in/**/a*'"
        + ("; - reads standard input and writes standard output" if one_file else ""),
    )
    parser.add_argument(
        "--list",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="text file with one IN per line (may be repeated)",
    )
    parser.add_argument(
        "--out",
        type=_output_path,
        required=not one_file,
        metavar="OUT" if one_file else "DIR",
        help="folder to write to"
        + (f", or the file to write if there is one input and the name ends in {one_file}" if one_file else "")
        + ". Folder trees are preserved. If the names of two inputs differ only in the suffix, the outputs keep it."
        " Only earlier outputs are replaced.",
    )
    parser.add_argument(
        "--model", help=f"a built-in model, the folder of a run or model, or hf://OWNER/NAME (default: {model})"
    )
    parser.add_argument("--force", action="store_true", help="rewrite up-to-date outputs and overwrite existing files")
    parser.add_argument("-j", "--workers", type=positive, help="processes, each with one thread (default: 1)")
    parser.add_argument(
        "--threads",
        type=positive,
        help="CPU threads PyTorch may use, with --ray and --slurm in each process (default: 1)",
    )
    parser.add_argument(
        "--device",
        default="cpu",
        help="such as cuda, or onnx for ONNX Runtime, see docs/onnx.md (default: %(default)s)",
    )
    parser.add_argument(
        "--batch",
        type=positive,
        metavar="N",
        help=f"files whose blocks are computed together (default: {GPU_BATCH} on a GPU; on a CPU, 32 files of up to 5 s"
        " and 1 longer one)",
    )
    add_cluster_options(parser, gpus=True)
    add_quiet_option(parser)
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def batch_options(arguments: argparse.Namespace, files: Collection[str] = ()) -> "BatchOptions":
    """Return overwriting and concurrency.

    Args:
        arguments: arguments of a command with :func:`add_batch_options`
        files: suffixes of ``--out`` that mean a file

    Returns:
        The options.

    Raises:
        UserError: options that cannot be combined: ``-j``, ``--threads``, ``--device`` and ``--batch`` on one machine;
            a file as ``--out`` of a cluster.
    """
    from codec.batch.jobs import BatchOptions, names_file

    default = None if arguments.device in ("cpu", "onnx") else GPU_BATCH
    together = default if arguments.batch is None else int(arguments.batch)
    if not uses_cluster(arguments):
        given = [("-j", arguments.workers), ("--threads", arguments.threads)]
        given += [("--device", arguments.device if arguments.device != "cpu" else None)]
        if len(names := [name for name, value in given if value is not None]) > 1:
            raise UserError(f"{names[0]} cannot be combined with {names[1]}; give only one")
        if arguments.batch is not None and (arguments.workers or 1) > 1:
            raise UserError(
                "--batch cannot be combined with -j, whose processes choose it by the length of files; give one"
            )
    elif names_file(arguments.out, files):
        raise UserError(f"{arguments.out}: --ray and --slurm write many files; name a folder as --out")
    on = workers(arguments, arguments.out, threads=arguments.threads or 1, device=arguments.device)
    return BatchOptions(arguments.force, on, together)


def model_device(arguments: argparse.Namespace) -> str:
    """Return the device of the model in this process.

    Args:
        arguments: arguments of a command with :func:`add_batch_options`

    Returns:
        That of ``--device``, unless a cluster computes.
    """
    return "cpu" if uses_cluster(arguments) else str(arguments.device)


def import_torch(arguments: argparse.Namespace) -> None:
    """Import PyTorch, unless ONNX Runtime computes, and set its threads.

    Args:
        arguments: arguments of a command with :func:`add_batch_options`
    """
    if arguments.device != "onnx":
        import torch

        torch.set_num_threads(arguments.threads or 1)


def encoding_model(name: str | None) -> str:
    """Return the name or folder of the model to encode with.

    Args:
        name: the value of ``--model``; None if it was not given

    Returns:
        ``name``, or else the value of the variable :data:`~codec.cli.models.MODEL_VARIABLE`, or else the default model.
    """
    return name or os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL


def _output_path(text: str) -> Path:
    """Refuse standard output: files have the archive profile, whose header is completed at the end."""
    if text == "-":
        raise argparse.ArgumentTypeError(
            "must be a folder or file; for pipes: codec encode - < IN | codec decode - > OUT"
        )
    return Path(text)


def print_batch(batch: "BatchReport", as_json: bool, *, decoded: bool = False) -> int:
    """Print failures and damage to standard error, and the results to standard output.

    Args:
        batch: the outcome of each file
        as_json: print JSON instead of a summary in words
        decoded: whether coded files were decoded, whose damage is concealed; silence stands for that of sources

    Returns:
        The exit status: not 0 if a file failed or was damaged.
    """
    from codec.bitstream.header import ADVICE_ON_DAMAGE

    for failure in batch.failures:
        print_error(failure.reason, FAILED)
    remedy = "lost and concealed" if decoded else "lost, with silence in its place"
    for path, lost in batch.damaged.items():
        print_error(f"{path}: {describe_losses(lost, batch.cut_off.get(path), remedy)}", FAILED)
    for path in sorted(batch.tags_damaged):
        print_error(f"{path}: tags or pictures are damaged, and may be missing; {ADVICE_ON_DAMAGE}", FAILED)
    if as_json:
        done = [
            {
                "source": str(report.source),
                "target": str(report.target),
                "seconds": report.seconds,
                "bytes": report.bytes_total,
                "kbps": report.kbps,
                "overhead_bytes": report.bytes_overhead,
                "metadata_bytes": report.bytes_metadata,
                "payload_kbps": report.payload_kbps,
                "times_real_time": report.times_real_time,
                "clipped_samples": report.clipped,
                "too_loud_samples": report.over_full_scale,
                "above_band_share": report.above_band,
                "pictures": report.pictures,
                "pictures_left_out": report.pictures_left_out,
                "lost_s": report.lost,
                "cut_off_s": report.cut_off,
                "tags_damaged": report.tags_damaged,
            }
            for report in batch.reports
        ]
        failed = [{"source": str(failure.path), "reason": failure.reason} for failure in batch.failures]
        skipped = [
            {"source": str(kept.path), "lost_s": kept.lost, "tags_damaged": kept.tags_damaged} for kept in batch.skipped
        ]
        result = {"summary": asdict(batch.summary), "done": done, "skipped": skipped, "failed": failed}
        print(json.dumps(result, indent=1))
    else:
        print(batch.summary.line() if is_quiet() else batch.summary.text())
    return FAILED if batch.failures or batch.damaged or batch.tags_damaged else 0
