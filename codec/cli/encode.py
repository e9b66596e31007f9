"""``codec encode``: audio files to ``.nac`` files."""

import argparse

from codec.cli import pipes
from codec.cli.batch_options import ENCODING_MODEL, add_batch_options, concurrent_files, encoding_model, print_batch
from codec.cli.common import AddCommand, join_tags, positive, print_note
from codec.runtime import signals


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`.
    """
    parser = command(
        "encode",
        _run,
        "encode audio files to .nac files",
        "Encodes audio files to .nac files, whose codes are entropy-coded. With --kbps, each frame gets the codes that"
        " it needs most. The codes of a file of half a minute or more take 97 to 103 % of that bit rate; those of a"
        " shorter file may take less, and exceed it by at most 2 % and about 12 bytes for each 2 s. The container adds"
        " 0.03 kbit/s and 62 bytes to a file; to a live stream (-), it adds 2 bytes per frame and 1 byte per frame and"
        " channel: 1.2 kbit/s with one channel and 50 frames per second. (A model without context modelling, such as"
        " speech_16k, gives every frame as many codes as are expected to stay within the bit rate.) With - as IN, WAV,"
        " RF64 and BW64 files of linear PCM are encoded as they arrive. Any other format is recognised from its first"
        " bytes, kept in a temporary file and encoded when the pipe ends. Audio that a pipe cut off is encoded as far"
        " as it came, and the command fails.",
    )
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument(
        "--kbps",
        type=float,
        help="bit rate of the codes in kbit/s, all channels together (default: all codes of the model)",
    )
    rate.add_argument("--codebooks", type=positive, help="number of codebooks, the same in every frame")
    parser.add_argument(
        "--tag",
        type=_tag,
        action="append",
        default=[],
        metavar="NAME=TEXT",
        help="title, date or any other tag to add to those of the source (may be repeated; a name may have several)",
    )
    parser.add_argument(
        "--raw", metavar="RATE:CHANNELS[:ENCODING]", help="with -: samples without a header, such as 16000:1:s16"
    )
    add_batch_options(parser, "audio files", ENCODING_MODEL, ".nac")


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"must be NAME=TEXT, not {text}")
    return name, value


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    if pipes.is_stream(arguments):
        return pipes.encode(arguments)
    several = concurrent_files(arguments)
    with signals.exit_on_interrupt():
        import torch

        from codec.batch.encode import encode_batch
        from codec.batch.jobs import BatchOptions
        from codec.coding.options import CodingOptions
        from codec.pretrained.registry import load_model

    torch.set_num_threads(arguments.threads)
    batch = encode_batch(
        arguments.inputs,
        arguments.out,
        load_model(encoding_model(arguments.model), arguments.device),
        CodingOptions(arguments.kbps, arguments.codebooks, join_tags(arguments.tag)),
        BatchOptions(arguments.force, arguments.workers, several),
        lists=arguments.list,
        note=print_note,
    )
    return print_batch(batch, arguments.json)
