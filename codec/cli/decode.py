"""``codec decode``: ``.nac`` files, and shards of tokens, to audio files."""

import argparse

from codec.audio.suffixes import AUDIO_SUFFIXES
from codec.cli import pipes
from codec.cli.batch_options import add_batch_options, batch_options, import_torch, model_device, print_batch
from codec.cli.common import AddCommand, seconds
from codec.cli.models import MODEL_VARIABLE, decoding_models
from codec.cli.picked_settings import add_use_option, apply_picked_settings
from codec.model.decoder_dtypes import DTYPES
from codec.runtime.imports import importing


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "decode",
        _run,
        "decode .nac files, and codes in shards and arrays, to audio files",
        "Decodes to audio files: .nac files; shards that codec tokens wrote; and codes of --model that another"
        " program wrote, whole numbers [codebooks, frames], [channels, codebooks, frames] or [ids] in .npy files or tar"
        " files of them. Damaged parts of a .nac file are concealed, a truncated file is decoded up to its end, and the"
        " lost spans are listed.",
    )
    parser.add_argument(
        "--from",
        type=seconds,
        default=0.0,
        dest="start",
        metavar="TIME",
        help="start at this time, in seconds or as H:MM:SS (default: 0)",
    )
    parser.add_argument(
        "--to",
        type=seconds,
        dest="end",
        metavar="TIME",
        help="end exactly at this time, in seconds or as H:MM:SS (default: the end)",
    )
    parser.add_argument("--strict", action="store_true", help="refuse damaged files instead of concealing the damage")
    parser.add_argument("--raw", action="store_const", const="", help="with -: write samples without a WAV header")
    parser.add_argument(
        "--suffix",
        type=lambda text: f".{text.lower().lstrip('.')}",
        choices=(".wav", ".flac", ".ogg"),
        help="format (default: that of the file --out, else .wav)",
    )
    parser.add_argument(
        "--bits", choices=("16", "24", "32f"), help="bits per sample: .flac has at most 24, .ogg none (default: 16)"
    )
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        help="numbers that the decoder computes with: int8 is the fastest on a CPU with VNNI, exact gives the same"
        " samples on every processor, see docs/exact_decoding.md (default: float32)",
    )
    add_use_option(parser)
    default = f"the model named in each file, from the built-in models and that of the variable {MODEL_VARIABLE}"
    add_batch_options(parser, ".nac files, token shards and .npy arrays of codes", default, ".wav, .flac or .ogg")


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    apply_picked_settings(arguments)
    arguments.dtype = arguments.dtype or DTYPES[0]
    if pipes.is_stream(arguments):
        return pipes.decode(arguments)
    with importing():
        import_torch(arguments)

        from codec.batch.decode import decode_batch
        from codec.coding.options import DecodingOptions

    options = batch_options(arguments, AUDIO_SUFFIXES)
    batch = decode_batch(
        arguments.inputs,
        arguments.out,
        decoding_models(arguments.model, model_device(arguments), arguments.dtype),
        DecodingOptions(arguments.start, arguments.end, arguments.strict),
        options,
        lists=arguments.list,
        suffix=arguments.suffix,
        bits=arguments.bits,
    )
    return print_batch(batch, arguments.json, decoded=True)
