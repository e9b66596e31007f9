"""``codec encode -`` and ``codec decode -``: from standard input to standard output, as it comes."""

import argparse
import os
import sys
from typing import TYPE_CHECKING

from codec.cli.common import FAILED, INTERRUPTED, describe_losses, note, print_error, tags_of
from codec.cli.models import MODEL_VARIABLE, own_models
from codec.errors import UserError
from codec.pretrained.defaults import DEFAULT_MODEL
from codec.runtime import signals

if TYPE_CHECKING:
    from codec.audio.pcm_stream import PcmEncoding, PcmFormat

_ENCODINGS: "dict[str | None, PcmEncoding]" = {None: "s16", "16": "s16", "24": "s24", "32f": "f32"}


def is_stream(arguments: argparse.Namespace) -> bool:
    """Whether the one input is ``-``. Raises ``UserError`` where that is mixed with what belongs to files."""
    if not any(str(path) == "-" for path in arguments.inputs):
        if arguments.out is None:
            raise UserError(f"give --out; see codec {arguments.command} --help")
        if arguments.raw is not None:
            raise UserError("--raw is for streams; give - as the input")
        return False
    several = arguments.workers > 1 or arguments.batch is not None
    if len(arguments.inputs) > 1 or arguments.list or arguments.out is not None or several:
        raise UserError("- stands alone: standard input becomes standard output, without --out, --list, -j and --batch")
    return True


def encode(arguments: argparse.Namespace) -> int:
    with signals.ends_at_once():
        import torch

        from codec.audio.bandwidth import ABOVE_BAND_THRESHOLD
        from codec.coding.pipes import encode_stream
        from codec.pretrained.registry import load

    torch.set_num_threads(arguments.threads)
    codec = load(arguments.model or os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL, arguments.device)
    raw = None if arguments.raw is None else raw_format(arguments.raw)
    source, how = sys.stdin.buffer, {"kbps": arguments.kbps, "codebooks": arguments.codebooks}
    with signals.ends_input(source) as interrupted:
        report = encode_stream(source, sys.stdout.buffer, codec, **how, raw=raw, tags=tags_of(arguments.tag))
    if report.too_loud:
        note(f"{report.too_loud:,} samples were beyond full scale, where models garble; scale down to a peak of 1")
    if report.above_band > ABOVE_BAND_THRESHOLD:
        note("there was sound above the band of the model, which is not coded; use one of a higher sample rate")
    if interrupted.is_set():
        return print_error("interrupted; the stream was ended", INTERRUPTED)
    return print_error(f"standard input: {report.fault}", FAILED) if report.fault else 0


def decode(arguments: argparse.Namespace) -> int:
    with signals.ends_at_once():
        import torch

        from codec.coding.pipes import decode_stream
        from codec.pretrained.registry import finder, load

    if arguments.start or arguments.end is not None:
        raise UserError("--from and --to are for files; give one as the input")
    torch.set_num_threads(arguments.threads)
    device = arguments.device
    report = decode_stream(
        sys.stdin.buffer,
        sys.stdout.buffer,
        load(arguments.model, device) if arguments.model else finder(own_models(), device),
        strict=arguments.strict,
        encoding=_ENCODINGS[arguments.bits],
        raw=arguments.raw is not None,
    )
    return print_error(f"standard input: {describe_losses(report.lost, report.cut_off)}", FAILED) if report.lost else 0


def raw_format(text: str) -> "PcmFormat":
    """``RATE:CHANNELS`` or ``RATE:CHANNELS:ENCODING``."""
    from codec.audio.pcm_stream import PcmFormat

    rate, channels, encoding = (*text.split(":"), "s16", "", "")[:3]
    if not (rate.isdecimal() and channels.isdecimal()) or text.count(":") > 2:
        raise UserError(f"--raw takes RATE:CHANNELS or RATE:CHANNELS:ENCODING, such as 16000:1:s16, not {text}")
    return PcmFormat(int(rate), int(channels), encoding)  # type: ignore[arg-type]
