"""Sound to .nac and back: encode, decode, info."""

import argparse
import contextlib
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codec.cli import pipes
from codec.cli.common import FAILED, AddCommand, describe_losses, note, positive, print_error, printable, tags_of
from codec.cli.models import MODEL_VARIABLE, own_models
from codec.errors import UserError
from codec.pretrained.defaults import DEFAULT_MODEL
from codec.runtime import signals

if TYPE_CHECKING:
    from codec.batch.runner import BatchReport

BATCH = 16
"""Files on a GPU, which then has some thousand frames to compute at once."""
ENCODING_MODEL = f"the variable {MODEL_VARIABLE}, else {DEFAULT_MODEL}"


def add_coding(command: AddCommand) -> None:
    encode = command(
        "encode",
        _encode,
        "sound files to .nac files",
        "Sound files to .nac files, range-coded. With --kbps, frames get the codes that they need most, so that those"
        " of a file of half a minute or more make 97 to 103 % of that bit rate; those of a short one may make less, and"
        " at most 2 % and about 12 bytes for each 2 s more. The container of a file adds 0.03 kbit/s and 62 bytes, that"
        " of a live stream (-) 2 bytes a frame and 1 for each of its channels: 1.2 kbit/s with one channel and 50"
        " frames a second. (A model without contexts, such as the first speech_16k, gives every frame as many codes as"
        " may be expected to stay within.) With - as IN, WAV, RF64 and BW64 of plain samples are coded as they come;"
        " any other format is recognised from its first bytes, kept in a temporary file and coded when the pipe ends."
        " What a pipe cut off is coded as far as it came, and the command fails.",
    )
    rate = encode.add_mutually_exclusive_group()
    rate.add_argument(
        "--kbps", type=float, help="bit rate of the codes, channels together (default: all codes that the model has)"
    )
    rate.add_argument("--codebooks", type=positive, help="codes of each frame, all frames alike")
    encode.add_argument(
        "--tag",
        type=_tag,
        action="append",
        default=[],
        metavar="NAME=TEXT",
        help="title, date or whatever is to be kept besides the source's own tags (repeat; a name may have several)",
    )
    encode.add_argument(
        "--raw", metavar="RATE:CHANNELS[:ENCODING]", help="with -: samples without a WAV header, such as 16000:1:s16"
    )
    decode = command(
        "decode",
        _decode,
        ".nac files, and shards that codec tokens wrote, to sound files",
        ".nac files, and shards that codec tokens wrote, to sound files. What is damaged of a .nac file is concealed,"
        " what is cut off is decoded up to there, and the moments that were lost are named.",
    )
    decode.add_argument("--from", type=float, default=0.0, dest="start", metavar="S", help="start there (0 s)")
    decode.add_argument("--to", type=float, dest="end", metavar="S", help="end there (the end), exactly")
    decode.add_argument("--strict", action="store_true", help="refuse damage instead")
    decode.add_argument("--raw", action="store_const", const="", help="with -: samples without a WAV header")
    decode.add_argument(
        "--suffix",
        type=lambda text: f".{text.lower().lstrip('.')}",
        choices=(".wav", ".flac", ".ogg"),
        help="format (default: that of the file --out, else .wav)",
    )
    decode.add_argument("--bits", choices=("16", "24", "32f"), help="of a sample; .flac up to 24, .ogg none (16)")
    for parser, what, one_file, default in (
        (encode, "sound files", ".nac", ENCODING_MODEL),
        (
            decode,
            ".nac files, token shards",
            ".wav, .flac or .ogg",
            f"the one that each file names, of {MODEL_VARIABLE} and the built-in ones",
        ),
    ):
        add_batch(parser, what, default, one_file)
    info = command("info", _info, "what .nac files hold, and whether they are whole")
    info.add_argument(
        "inputs", type=Path, nargs="+", metavar="IN", help=".nac files, folders of them, patterns such as 'in/**/a*'"
    )
    info.add_argument("--json", action="store_true", help="print as JSON")


def add_batch(parser: argparse.ArgumentParser, what: str, model: str, one_file: str = "") -> None:
    """What all commands on many files take. ``what`` names these, ``model`` the default; ``one_file``, if there can be
    one, the suffixes of the output of a single file: then - is an input, too, and needs no output."""
    parser.add_argument(
        "inputs",
        type=Path,
        nargs="*",
        metavar="IN",
        help=f"{what}, folders of them, patterns such as 'in/**/a*'"
        + ("; or - for standard input to standard output" if one_file else ""),
    )
    parser.add_argument(
        "--list",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="text file with one IN a line (repeat)",
    )
    parser.add_argument(
        "--out",
        type=_out,
        required=not one_file,
        metavar="OUT" if one_file else "DIR",
        help="folder to write to"
        + (f", or for a single input the file, if the name ends in {one_file}" if one_file else "")
        + "; trees are kept, and of a.wav and a.mp3 side by side the suffixes, too (a.wav.nac); no"
        " file is replaced that is not an earlier output",
    )
    parser.add_argument("--model", help=f"a built-in model, or the folder of a run or model (default: {model})")
    parser.add_argument("--force", action="store_true", help="write again what is there already, and over other files")
    several = parser.add_mutually_exclusive_group()
    several.add_argument(
        "-j", "--workers", type=positive, default=1, help="processes, of one thread each (%(default)s)"
    )
    several.add_argument("--threads", type=positive, default=1, help="of the matrix products (%(default)s)")
    several.add_argument("--device", default="cpu", help="such as cuda; or onnx, see docs/graphs.md (%(default)s)")
    parser.add_argument(
        "--batch",
        type=positive,
        metavar="N",
        help=f"files whose blocks are computed together (default: {BATCH} on a GPU, else 1)",
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def lanes(arguments: argparse.Namespace) -> int:
    """The number that ``--batch`` says, or its default. Raises ``UserError`` beside processes."""
    if arguments.batch is None:
        return 1 if arguments.device in ("cpu", "onnx") else BATCH
    if arguments.workers > 1:
        raise UserError("--batch is not for -j: processes code one file after the other; give one of both")
    return int(arguments.batch)


def encoding_model(name: str | None) -> str:
    """The one that ``--model`` names, or its default."""
    return name or os.environ.get(MODEL_VARIABLE) or DEFAULT_MODEL


def _tag(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"must be NAME=TEXT, not {text}")
    return name, value


def _out(text: str) -> Path:
    """Pipes have the live profile alone: the header of the archive profile is completed at the end."""
    if text == "-":
        raise argparse.ArgumentTypeError(
            "must be a folder or file; for pipes: codec encode - < IN | codec decode - > OUT"
        )
    return Path(text)


def _encode(arguments: argparse.Namespace, rest: list[str]) -> int:
    if pipes.is_stream(arguments):
        return pipes.encode(arguments)
    several = lanes(arguments)
    with signals.ends_at_once():
        import torch

        from codec.batch.tasks import encode_batch
        from codec.pretrained.registry import load

    torch.set_num_threads(arguments.threads)
    name = encoding_model(arguments.model)
    codec = load(name, arguments.device)
    batch = encode_batch(
        arguments.inputs,
        arguments.out,
        codec,
        lists=arguments.list,
        kbps=arguments.kbps,
        codebooks=arguments.codebooks,
        tags=tags_of(arguments.tag),
        force=arguments.force,
        workers=arguments.workers,
        lanes=several,
        note=lambda said: note(f"{name} {said}"),
    )
    return report(batch, arguments.json)


def _decode(arguments: argparse.Namespace, rest: list[str]) -> int:
    if pipes.is_stream(arguments):
        return pipes.decode(arguments)
    several = lanes(arguments)
    with signals.ends_at_once():
        import torch

        from codec.batch.tasks import decode_batch
        from codec.pretrained.registry import finder, load

    torch.set_num_threads(arguments.threads)
    device = arguments.device
    batch = decode_batch(
        arguments.inputs,
        arguments.out,
        load(arguments.model, device) if arguments.model else finder(own_models(), device),
        lists=arguments.list,
        start=arguments.start,
        end=arguments.end,
        strict=arguments.strict,
        suffix=arguments.suffix,
        bits=arguments.bits,
        force=arguments.force,
        workers=arguments.workers,
        lanes=several,
    )
    return report(batch, arguments.json)


def report(batch: "BatchReport", as_json: bool) -> int:
    for failure in batch.failures:
        print_error(failure.reason, FAILED)
    for path, lost in batch.damaged.items():
        print_error(f"{path}: {describe_losses(lost, batch.cut_off.get(path))}", FAILED)
    if as_json:
        done = [
            {
                "source": str(report.source),
                "target": str(report.target),
                "seconds": report.seconds,
                "bytes": report.bytes_total,
                "kbps": report.kbps,
                "payload_kbps": report.payload_kbps,
                "times_real_time": report.times_real_time,
                "clipped_samples": report.clipped,
                "too_loud_samples": report.too_loud,
                "above_band_share": report.above_band,
                "pictures": report.pictures,
                "lost_s": report.lost,
                "cut_off_s": report.cut_off,
            }
            for report in batch.reports
        ]
        failed = [{"source": str(failure.path), "reason": failure.reason} for failure in batch.failures]
        skipped = [{"source": str(kept.path), "lost_s": kept.lost} for kept in batch.kept]
        told = {"summary": asdict(batch.summary), "done": done, "skipped": skipped, "failed": failed}
        print(json.dumps(told, indent=1))
    else:
        print(batch.summary.text())
    return FAILED if batch.failures or batch.damaged else 0


def _info(arguments: argparse.Namespace, rest: list[str]) -> int:
    with signals.ends_at_once():
        from codec.batch.inputs import Kinds, find
        from codec.batch.tasks import NAC
        from codec.coding.files import file_info
        from codec.coding.shards import is_shard

    found, status, names = [], 0, _built_in_names()
    found_inputs = find(arguments.inputs, Kinds(f"{NAC} files", {NAC}))
    for failure in found_inputs.failures:
        status = print_error(failure.reason, FAILED)
    for path, _ in found_inputs.files:
        try:
            if is_shard(path):
                raise UserError(f"{path}: a shard of tokens, not a .nac file; codec decode takes it")
            said = file_info(path)
            found.append({"path": said.pop("path"), "model": names.get(said["fingerprint"]), **said})
            if fault := found[-1]["fault"]:
                status = print_error(fault, FAILED)
            if damaged := found[-1]["damaged_packets"]:
                what = "1 damaged packet" if len(damaged) == 1 else f"{len(damaged)} damaged packets"
                status = print_error(f"{path}: {what}; encode the source again", FAILED)
        except UserError as error:
            status = print_error(str(error), FAILED)
    if arguments.json:
        print(json.dumps(found, indent=1, default=str))
    else:
        print("\n\n".join("\n".join(f"{name}: {value}" for name, value in _readable(info).items()) for info in found))
    return status


def _readable(info: dict[str, Any]) -> dict[str, Any]:
    """With the values of each tag in a list, where there are several."""
    from codec.audio import split_values

    tags = {name: split_values(text) for name, text in info["tags"].items()}
    shown = {name: values if len(values) > 1 else values[0] for name, values in tags.items()}
    return {name: printable(str(value)) for name, value in {**info, "tags": shown}.items()}


def _built_in_names() -> dict[str, str]:
    """By the fingerprints in the files that these models write."""
    from codec.pretrained.checkpoint import read_fingerprints
    from codec.pretrained.registry import built_in

    names = {}
    for name, place in built_in().items():
        with contextlib.suppress(UserError):  # a damaged model is no matter of these files
            names[read_fingerprints(place)[0]] = name
    return names
