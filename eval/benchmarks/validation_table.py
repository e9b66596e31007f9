"""The command line of a table about one model, made on validation clips."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from codec.dataset.packed import open_split
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import load_codec
from codec.pretrained.registry import find_model
from codec.runtime.atomic_files import write_text
from eval.evaluation.candidate_scoring import Excerpt, excerpts
from eval.pages.text_table import Table


def make_parser(module: str, description: str | None, clips: int) -> argparse.ArgumentParser:
    """Return a parser with what all these tables take.

    Args:
        module: as in ``python -m MODULE``.
        description: what ``--help`` says.
        clips: how many are used unless the user says otherwise.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("model", help="a built-in model, or the folder of a run or model")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by codec prepare")
    parser.add_argument("--clips", type=int, default=clips, help="validation clips at most (%(default)s)")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="write it as Markdown, too")
    return parser


def print_table(arguments: argparse.Namespace, make: Callable[[Codec, Sequence[Excerpt]], Table]) -> None:
    """Load the model and the clips, print the table that ``make`` returns, and write it where ``--out`` says.

    Raises:
        SystemExit: with one line, for a model or data that cannot be read, or a table that cannot be written.
    """
    torch.set_num_threads(1)
    try:
        codec = load_codec(find_model(arguments.model))
        table = make(codec, excerpts(open_split(arguments.data, "val", codec.config.sample_rate, 1), arguments.clips))
        print(f"{table.title}: {table.note}\n{table.text()}")
        if arguments.out:
            write_text(arguments.out, f"# {table.title}\n\n{table.note}\n\n{table.markdown()}\n")
    except UserError as error:
        sys.exit(f"error: {error}")
