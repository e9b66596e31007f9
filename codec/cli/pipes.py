"""``codec encode -`` and ``codec decode -``: standard input to standard output, as the data arrives."""

import argparse
import sys
from typing import TYPE_CHECKING

from codec.cli.batch_options import encoding_model, import_torch
from codec.cli.cluster_options import uses_cluster
from codec.cli.common import FAILED, INTERRUPTED, describe_losses, join_tags, print_error, print_note
from codec.cli.models import decoding_models
from codec.errors import UserError
from codec.runtime import signals
from codec.runtime.imports import importing

if TYPE_CHECKING:
    from codec.audio.pcm_stream import PcmEncoding, PcmFormat

_ENCODINGS: "dict[str | None, PcmEncoding]" = {None: "s16", "16": "s16", "24": "s24", "32f": "f32"}


def is_stream(arguments: argparse.Namespace) -> bool:
    """Determine whether the input is standard input.

    Args:
        arguments: arguments of ``codec encode`` or ``codec decode``

    Returns:
        Whether the only input is ``-``.

    Raises:
        UserError: ``-`` is combined with options for files, an option is missing, or there is no input or output.
    """
    if not any(str(path) == "-" for path in arguments.inputs):
        if arguments.out is None:
            raise UserError(f"--out is missing; see codec {arguments.command} --help")
        if arguments.raw is not None:
            raise UserError("--raw is only for standard input; give - as the input")
        return False
    several = (arguments.workers or 1) > 1 or arguments.batch is not None or uses_cluster(arguments)
    if len(arguments.inputs) > 1 or arguments.list or arguments.out is not None or several:
        raise UserError(
            "- must be the only input, without --out, --list, -j, --batch, --ray and --slurm: standard input goes to"
            " standard output"
        )
    if sys.stdin is None or sys.__stdout__ is None:
        raise UserError("- reads standard input and writes standard output, but one of them is closed")
    return True


def encode(arguments: argparse.Namespace) -> int:
    """Encode standard input to a live stream on standard output.

    Args:
        arguments: arguments of ``codec encode``

    Returns:
        The exit status.
    """
    with importing():
        import_torch(arguments)

        from codec.audio.bandwidth import ABOVE_BAND_THRESHOLD
        from codec.coding.options import CodingOptions
        from codec.coding.pipes import encode_stream
        from codec.pretrained.registry import load_model

    model = load_model(encoding_model(arguments.model), arguments.device)
    raw = None if arguments.raw is None else raw_format(arguments.raw)
    source, options = sys.stdin.buffer, CodingOptions(arguments.kbps, arguments.codebooks, join_tags(arguments.tag))
    with signals.end_input_on_interrupt(source) as interrupted:
        report = encode_stream(source, sys.stdout.buffer, model, options, raw=raw)
    if report.over_full_scale:
        print_note(
            f"{report.over_full_scale:,} samples exceed full scale, which models do not reproduce; scale the audio to a"
            " peak of 1"
        )
    if report.above_band > ABOVE_BAND_THRESHOLD:
        print_note("audio above the band of the model is not coded; use a model with a higher sample rate")
    if interrupted.is_set():
        return print_error("interrupted; the stream was completed", INTERRUPTED)
    return print_error(f"standard input: {report.fault}", FAILED) if report.fault else 0


def decode(arguments: argparse.Namespace) -> int:
    """Decode a live stream from standard input to WAV or samples on standard output.

    Args:
        arguments: arguments of ``codec decode``

    Returns:
        The exit status.

    Raises:
        UserError: an option is only for files.
    """
    with importing():
        import_torch(arguments)

        from codec.coding.pipes import decode_stream

    if arguments.start or arguments.end is not None:
        raise UserError("--from and --to are only for files; give a file as the input")
    report = decode_stream(
        sys.stdin.buffer,
        sys.stdout.buffer,
        decoding_models(arguments.model, arguments.device, arguments.dtype),
        strict=arguments.strict,
        encoding=_ENCODINGS[arguments.bits],
        raw=arguments.raw is not None,
    )
    return print_error(f"standard input: {describe_losses(report.lost, report.cut_off)}", FAILED) if report.lost else 0


def raw_format(text: str) -> "PcmFormat":
    """Parse the value of ``--raw``.

    Args:
        text: ``RATE:CHANNELS`` or ``RATE:CHANNELS:ENCODING``

    Returns:
        The format of the samples.

    Raises:
        UserError: the text is anything else.
    """
    from codec.audio.pcm_stream import PcmFormat

    rate, channels, encoding = (*text.split(":"), "s16", "", "")[:3]
    if not (rate.isdecimal() and channels.isdecimal()) or text.count(":") > 2:
        raise UserError(f"--raw takes RATE:CHANNELS or RATE:CHANNELS:ENCODING, such as 16000:1:s16, not {text}")
    return PcmFormat(int(rate), int(channels), encoding)  # type: ignore[arg-type]
