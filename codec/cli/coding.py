"""Sound to .nac and back: encode, decode, info."""

import argparse
import json
import os
from pathlib import Path
from typing import Any

from codec import interrupts
from codec.cli.models import DEFAULT_MODEL, MODEL_VARIABLE, own_models
from codec.cli.shared import FAILED, AddCommand, complain, positive
from codec.errors import UserError


def add_coding(command: AddCommand) -> None:
    encode = command(
        "encode",
        _encode,
        "sound files to .nac files",
        "Sound files to .nac files, range-coded. For --kbps a file gets the largest number of codebooks whose expected"
        " rate is not above it, and at least one. Expected is what the model's statistics of codes say, packet lengths"
        " and checksums included; a file comes out lower or higher as its sound is plainer or richer than that.",
    )
    encode.add_argument("inputs", type=Path, nargs="+", metavar="IN", help="sound files, or folders of them")
    encode.add_argument(
        "--kbps", type=float, help="bit rate to stay within, as expected, channels together (default: all codebooks)"
    )
    decode = command("decode", _decode, ".nac files to sound files")
    decode.add_argument("inputs", type=Path, nargs="+", metavar="IN", help=".nac files, or folders of them")
    decode.add_argument("--suffix", default=".wav", choices=(".wav", ".flac", ".ogg"), help="format (%(default)s)")
    for parser, default in (
        (encode, f"the variable {MODEL_VARIABLE}, else {DEFAULT_MODEL}"),
        (decode, f"the one that each file names, of {MODEL_VARIABLE} and the built-in ones"),
    ):
        parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to; trees are kept")
        parser.add_argument("--model", help=f"a built-in model, or the folder of a run or model (default: {default})")
        parser.add_argument("--force", action="store_true", help="write again what is there already")
        parser.add_argument("--threads", type=positive, default=1, help="of the matrix products (%(default)s)")
        parser.add_argument("--json", action="store_true", help="print the results as JSON")
    info = command("info", _info, "what a .nac file holds, and whether it is whole")
    info.add_argument("inputs", type=Path, nargs="+", metavar="FILE")
    info.add_argument("--json", action="store_true", help="print as JSON")


def _encode(arguments: argparse.Namespace, rest: list[str]) -> int:
    with interrupts.ends_at_once():
        import torch

        from codec.batch import encode_batch
        from codec.checkpoint import load_model
        from codec.library import find

    torch.set_num_threads(arguments.threads)
    codec = load_model(find(arguments.model or os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL))
    return _report(
        encode_batch(arguments.inputs, arguments.out, codec, kbps=arguments.kbps, force=arguments.force),
        arguments,
    )


def _decode(arguments: argparse.Namespace, rest: list[str]) -> int:
    with interrupts.ends_at_once():
        import torch

        from codec.batch import decode_batch
        from codec.checkpoint import load_model
        from codec.library import find, finder

    torch.set_num_threads(arguments.threads)
    codec = load_model(find(arguments.model)) if arguments.model else finder(own_models())
    return _report(
        decode_batch(arguments.inputs, arguments.out, codec, suffix=arguments.suffix, force=arguments.force),
        arguments,
    )


def _report(batch: Any, arguments: argparse.Namespace) -> int:
    done = [
        {
            "source": str(report.source),
            "target": str(report.target),
            "seconds": report.seconds,
            "bytes": report.bytes_total,
            "kbps": report.kbps,
            "times_real_time": report.times_real_time,
        }
        for report in batch.reports
    ]
    failed = [{"source": str(failure.path), "reason": failure.reason} for failure in batch.failures]
    for failure in batch.failures:
        complain(failure.reason, FAILED)
    if arguments.json:
        print(json.dumps({"done": done, "skipped": [str(path) for path in batch.skipped], "failed": failed}, indent=1))
    else:
        seconds = sum(report.seconds for report in batch.reports)
        line = f"{len(done)} done, {len(batch.skipped)} were there already, {len(failed)} failed"
        if seconds:
            size = sum(report.bytes_total for report in batch.reports)
            elapsed = sum(report.elapsed_seconds for report in batch.reports)
            line += (
                f"; {seconds / 60:.1f} minutes of audio, {8 * size / seconds / 1000:.2f} kbit/s,"
                f" {seconds / elapsed:.0f} x real time"
            )
        print(line)
    return FAILED if failed else 0


def _info(arguments: argparse.Namespace, rest: list[str]) -> int:
    with interrupts.ends_at_once():
        from codec.files import file_info

    found, status = [], 0
    for path in arguments.inputs:
        try:
            found.append(file_info(path))
            if damaged := found[-1]["damaged_packets"]:
                status = complain(f"{path}: {len(damaged)} damaged packets; encode the source again", FAILED)
        except UserError as error:
            status = complain(str(error), FAILED)
    if arguments.json:
        print(json.dumps(found, indent=1, default=str))
    else:
        print("\n\n".join("\n".join(f"{name}: {value}" for name, value in info.items()) for info in found))
    return status
