"""``codec tokens``: audio files to codes for language models."""

import argparse
from pathlib import Path

from codec.cli.batch_options import (
    ENCODING_MODEL,
    add_batch_options,
    batch_options,
    encoding_model,
    import_torch,
    model_device,
    print_batch,
)
from codec.cli.common import AddCommand, positive
from codec.runtime.imports import importing


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "tokens",
        _run,
        "encode audio files to codes for language models, in tar shards that codec decode can read",
        "Encodes audio files to WebDataset shards tokens-000000.tar and so on. Each file becomes KEY.npy, 32-bit"
        " integers [codebooks, frames], or [channels, codebooks, frames] if there are several channels, and KEY.json,"
        " which describes them. KEY is the path of the file in its folder tree. Shards that are up to date are not"
        " rewritten, so the same command continues after an interruption; bad files are skipped and listed at the end.",
    )
    parser.add_argument(
        "--codebooks",
        type=positive,
        metavar="N",
        help="codebooks of each frame (default: all); what fewer cost in quality: docs/tokens.md",
    )
    parser.add_argument(
        "--flat",
        action="store_true",
        help="write one sequence of ids for each channel, frame after frame: the id of a code of codebook k, counted"
        " from 0, is k times the size of the codebooks plus the code",
    )
    parser.add_argument(
        "--per-shard",
        type=positive,
        metavar="N",
        help="files in a shard, in the order of their keys (default: 1000, or fewer to get at least 8 shards)",
    )
    parser.add_argument(
        "--manifest",
        type=Path,
        metavar="CSV",
        help="table with a column path; its other columns (group, domain, transcript, …) go into the .json. Without IN"
        " and --list, all files in the table are encoded",
    )
    parser.add_argument(
        "--salvage",
        action="store_true",
        help="encode what can be read of truncated and damaged files, as codec encode --salvage does; salvaged in their"
        " .json says what is lost",
    )
    add_batch_options(parser, "audio files", ENCODING_MODEL)


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    with importing():
        import_torch(arguments)

        from codec.batch.tokenize import encode_tokens
        from codec.pretrained.registry import load_model

    options = batch_options(arguments)
    batch = encode_tokens(
        arguments.inputs,
        arguments.out,
        load_model(encoding_model(arguments.model), model_device(arguments)),
        options,
        lists=arguments.list,
        codebooks=arguments.codebooks,
        per_shard=arguments.per_shard,
        manifest=arguments.manifest,
        flat=arguments.flat,
        salvage=arguments.salvage,
    )
    return print_batch(batch, arguments.json)
