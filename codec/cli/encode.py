"""``codec encode``: audio files to ``.nac`` files."""

import argparse

from codec.cli import pipes
from codec.cli.batch_options import (
    ENCODING_MODEL,
    add_batch_options,
    batch_options,
    encoding_model,
    import_torch,
    model_device,
    print_batch,
)
from codec.cli.common import AddCommand, join_tags, positive, print_note
from codec.cli.picked_settings import add_use_option, apply_picked_settings
from codec.runtime.imports import importing


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "encode",
        _run,
        "encode audio files to .nac files",
        "Encodes audio files to .nac files with entropy-coded codes. With --kbps, bits are distributed over frames by"
        " importance (variable rate). Models without context modelling use the same number of codes in every frame,"
        " chosen to stay within the bit rate. With - as IN, WAV, RF64 and BW64 files of linear PCM are encoded as they"
        " arrive. Any other format is recognised from its first bytes, stored in a temporary file and encoded when the"
        " pipe ends. Audio that is truncated by the pipe is encoded up to the cut, and the command fails.",
    )
    parser.add_argument(
        "--kbps",
        type=float,
        help="bit rate of the file in kbit/s, all channels together, without tags and pictures (default: all codes of"
        " the model)",
    )
    parser.add_argument(
        "--codebooks", type=positive, help="codes of every frame; with --kbps, the most that a frame can have"
    )
    parser.add_argument(
        "--packet-s",
        type=float,
        metavar="S",
        help="duration of a packet of a file; longer ones take fewer bits, and more is lost with one (default: 2)",
    )
    add_use_option(parser)
    parser.add_argument(
        "--tag",
        type=_tag,
        action="append",
        default=[],
        metavar="NAME=TEXT",
        help="title, date or any other tag to add to those of the source, or to replace one of them; NAME= leaves it"
        " out (may be repeated; several values per name are allowed)",
    )
    parser.add_argument(
        "--salvage",
        action="store_true",
        help="encode what can be read of truncated and damaged files instead of refusing them: up to the damage, and in"
        " FLAC, Ogg and MP3 files also behind it, with silence between; the files have a tag that says so, the lost"
        " parts are listed, and the exit status is 1",
    )
    parser.add_argument("--no-pictures", action="store_true", help="leave out the pictures of the sources")
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
    apply_picked_settings(arguments)
    if pipes.is_stream(arguments):
        return pipes.encode(arguments)
    with importing():
        import_torch(arguments)

        from codec.batch.encode import encode_batch
        from codec.batch.inputs import NAC
        from codec.coding.options import CodingOptions
        from codec.pretrained.registry import load_model

    options = batch_options(arguments, {NAC})
    batch = encode_batch(
        arguments.inputs,
        arguments.out,
        load_model(encoding_model(arguments.model), model_device(arguments)),
        CodingOptions(
            arguments.kbps,
            arguments.codebooks,
            join_tags(arguments.tag),
            not arguments.no_pictures,
            arguments.salvage,
            packet_s=arguments.packet_s,
        ),
        options,
        lists=arguments.list,
        note=print_note,
    )
    return print_batch(batch, arguments.json)
