"""A checkpoint made small enough to be carried away: moments of the optimisers in bfloat16, in parts of limited size.

``python -m eval.benchmarks.checkpoint_parts split RUN/checkpoints/last.ckpt --out FOLDER`` writes the parts, and
``python -m eval.benchmarks.checkpoint_parts join FOLDER --out RUN/checkpoints/last.ckpt`` the checkpoint, from which
``codec train`` continues. Weights, their average and all counters are exact; the moments are rounded to three digits.
"""

import argparse
import hashlib
import io
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codec.errors import UserError
from codec.training.checkpointing import CheckpointFiles, read_checkpoint

PART_BYTES = 15_000_000
"""Largest size of a part."""
_MOMENTS = ("exp_avg", "exp_avg_sq")
_NAME = "checkpoint.part"


def split_checkpoint(path: Path, out: Path, part_bytes: int = PART_BYTES) -> list[Path]:
    """Write a checkpoint in parts.

    Args:
        path: checkpoint of a run
        out: folder of the parts; earlier ones there are replaced
        part_bytes: largest size of a part

    Returns:
        The parts.

    Raises:
        UserError: it is no checkpoint.
    """
    checkpoint = read_checkpoint(path, path.parent.parent)
    buffer = io.BytesIO()
    torch.save(_with_moments(checkpoint, torch.float32, torch.bfloat16), buffer)
    content = buffer.getvalue()
    content += hashlib.sha256(content).digest()
    out.mkdir(parents=True, exist_ok=True)
    for earlier in out.glob(f"{_NAME}*"):
        earlier.unlink()
    parts = []
    for number, start in enumerate(range(0, len(content), part_bytes)):
        parts.append(out / f"{_NAME}{number:03}")
        parts[-1].write_bytes(content[start : start + part_bytes])
    return parts


def join_checkpoint(folder: Path, path: Path) -> None:
    """Write a checkpoint from its parts.

    Args:
        folder: folder of the parts
        path: the checkpoint; one that is there is replaced

    Raises:
        UserError: a part is missing or damaged.
    """
    content = b"".join(part.read_bytes() for part in sorted(folder.glob(f"{_NAME}*")))
    content, digest = content[:-32], content[-32:]
    if hashlib.sha256(content).digest() != digest:
        raise UserError(f"{folder}: a part of the checkpoint is missing or damaged; copy all of them again")
    checkpoint = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    files = CheckpointFiles(path.parent.parent)
    files.save_checkpoint(_with_moments(checkpoint, torch.bfloat16, torch.float32), path)


def _with_moments(checkpoint: dict[str, Any], before: torch.dtype, after: torch.dtype) -> dict[str, Any]:
    def convert(name: str, value: Any) -> Any:
        moment = isinstance(value, Tensor) and name in _MOMENTS and value.dtype == before
        return value.to(after) if moment else value

    states = [
        {
            **state,
            "state": {
                index: {name: convert(name, value) for name, value in entry.items()}
                for index, entry in state["state"].items()
            },
        }
        for state in checkpoint["optimizer_states"]
    ]
    return {**checkpoint, "optimizer_states": states}


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m eval.benchmarks.checkpoint_parts",
        description="Split a checkpoint into parts of at most 15 MB with moments in bfloat16, or join them.",
    )
    parser.add_argument("action", choices=("split", "join"))
    parser.add_argument("source", type=Path, help="the checkpoint, or the folder of its parts")
    parser.add_argument("--out", type=Path, required=True, help="folder of the parts, or the checkpoint")
    arguments = parser.parse_args()
    try:
        if arguments.action == "split":
            for part in split_checkpoint(arguments.source, arguments.out):
                print(part)
        else:
            join_checkpoint(arguments.source, arguments.out)
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    _main()
