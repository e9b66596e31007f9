"""Sound to codes for language models: tokens."""

import argparse
from pathlib import Path

from codec.cli.coding import ENCODING_MODEL, add_batch, encoding_model, lanes, report
from codec.cli.common import AddCommand, positive
from codec.runtime import signals


def add_tokens(command: AddCommand) -> None:
    parser = command(
        "tokens",
        _tokens,
        "sound files to codes for language models, in tar shards; codec decode takes them back",
        "Sound files to WebDataset shards tokens-000000.tar, …: KEY.npy, 32-bit integers [quantizers, frames], or"
        " [channels, quantizers, frames] where there are several channels; and KEY.json, which says what it is of. KEY"
        " is the file's place in its tree. What is there already and good is kept, so that the same command continues;"
        " a bad file is named at the end and left out.",
    )
    parser.add_argument("--codebooks", type=positive, metavar="N", help="of each frame (default: all)")
    parser.add_argument(
        "--per-shard",
        type=positive,
        metavar="N",
        help="files, by their keys in order (default: 1000, or less, so that there are 8 shards or more)",
    )
    parser.add_argument(
        "--manifest",
        type=Path,
        metavar="CSV",
        help="table with a column path; its other columns (group, domain, transcript, …) go into the .json; without IN"
        " and --list, all files that it names are taken",
    )
    add_batch(parser, "sound files", ENCODING_MODEL)


def _tokens(arguments: argparse.Namespace, rest: list[str]) -> int:
    several = lanes(arguments)
    with signals.ends_at_once():
        import torch

        from codec.batch.jobs import BatchOptions
        from codec.batch.tokenize import encode_tokens
        from codec.pretrained.registry import load_model

    torch.set_num_threads(arguments.threads)
    batch = encode_tokens(
        arguments.inputs,
        arguments.out,
        load_model(encoding_model(arguments.model), arguments.device),
        BatchOptions(arguments.force, arguments.workers, several),
        lists=arguments.list,
        codebooks=arguments.codebooks,
        per_shard=arguments.per_shard,
        manifest=arguments.manifest,
    )
    return report(batch, arguments.json)
