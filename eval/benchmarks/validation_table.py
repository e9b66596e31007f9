"""The command line that tables about one model on validation clips share."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from codec.dataset.location import open_split
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import load_codec
from codec.pretrained.registry import find_model
from codec.runtime.atomic_files import write_text
from codec.runtime.torch_threads import torch_threads
from eval.evaluation.clip_selection import Excerpt, choose_excerpts
from eval.evaluation.formatting import format_estimate
from eval.metrics.confidence import estimate
from eval.metrics.metric import Metric
from eval.pages.text_table import Table


def make_parser(module: str, description: str, clips: int) -> argparse.ArgumentParser:
    """Return a parser with the arguments of all these tables.

    Args:
        module: module that is run, as in ``python -m MODULE``.
        description: text of ``--help``.
        clips: default of ``--clips``.

    Returns:
        A parser to which more arguments can be added.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("model", help="name of a built-in model, or folder of a run or model")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by codec prepare")
    parser.add_argument(
        "--clips", type=int, default=clips, help="maximum number of validation clips (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="also write the table as a page in Markdown")
    return parser


def mean_cells(metrics: Sequence[Metric], scores: Sequence[Sequence[float | None]], groups: Sequence[str]) -> list[str]:
    """Return the cells of a row of means over clips.

    Args:
        metrics: the metrics.
        scores: value of each metric for each clip; None if it is not defined.
        groups: groups of the clips.

    Returns:
        For each metric its mean with the 95 % interval over the groups, or a dash if it is defined for no clip.
    """
    cells = []
    for entry, values in zip(metrics, zip(*scores)):
        kept = [(value, group) for value, group in zip(values, groups, strict=True) if value is not None]
        found = estimate([value for value, _ in kept], [group for _, group in kept])
        cells.append("–" if found is None else format_estimate(entry.name, found))
    return cells


def print_table(arguments: argparse.Namespace, make: Callable[[Codec, Sequence[Excerpt]], Table]) -> None:
    """Load the model and the clips, make the table, print it, and write it to ``--out``.

    Args:
        arguments: those of :func:`make_parser`.
        make: function from model and clips to the table; it runs on one thread.

    Raises:
        SystemExit: the model or data cannot be read, or the page cannot be written. The message is one line.
    """
    try:
        codec = load_codec(find_model(arguments.model))
        clips = choose_excerpts(open_split(arguments.data, "val", codec.config.sample_rate, 1), arguments.clips)
        with torch_threads(1):
            table = make(codec, clips)
        print(f"{table.title}: {table.note}\n{table.text()}")
        if arguments.out:
            write_text(arguments.out, f"# {table.title}\n\n{table.note}\n\n{table.markdown()}\n")
    except UserError as error:
        sys.exit(f"error: {error}")
