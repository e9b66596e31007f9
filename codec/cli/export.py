"""``codec export``: a model without training state, for archiving or distribution."""

import argparse
from pathlib import Path

from codec.cli.common import AddCommand
from codec.errors import UserError
from codec.model.decoder_dtypes import GRAPH_DTYPES
from codec.runtime.imports import importing


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command("export", _run, "export a model without training state, for archiving or distribution")
    parser.add_argument("run", help="folder of a run or model, or name of a built-in model")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--onnx",
        action="store_true",
        help="also write ONNX graphs, for --device onnx and for use without this program (needs the extra onnx)",
    )
    parser.add_argument(
        "--dtype",
        nargs="+",
        choices=GRAPH_DTYPES[1:],
        default=[],
        help="with --onnx: also write decoders whose weights are stored in these types, which are half and a third of"
        " the size; codec decode --device onnx --dtype takes them",
    )
    parser.add_argument(
        "--single-frames",
        action="store_true",
        help="with --onnx: also write graphs for single frames of one channel, which --device onnx takes for pipes and"
        " streams; with --dtype int8, that of the decoder computes in 8 bits",
    )
    parser.add_argument(
        "--exact",
        action="store_true",
        help="with --onnx: a decoder whose output is the same on every processor, see docs/exact_decoding.md",
    )


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    with importing():
        from codec.pretrained.checkpoint import fingerprint
        from codec.pretrained.export import GraphOptions, export_model
        from codec.pretrained.registry import find_model

    if arguments.exact and not arguments.onnx:
        raise UserError("--exact is for the graphs of --onnx; codec decode --dtype exact needs no export")
    if (arguments.dtype or arguments.single_frames) and (arguments.exact or not arguments.onnx):
        raise UserError("--dtype and --single-frames are for the graphs of --onnx, without --exact")
    graphs = GraphOptions(arguments.exact, tuple(dict.fromkeys(arguments.dtype)), arguments.single_frames)
    codec = export_model(find_model(arguments.run), arguments.out, graphs if arguments.onnx else None)
    print(f"{arguments.out}: model {fingerprint(codec)}")
    return 0
