"""``codec page``: a page that plays ``.nac`` files in a browser."""

import argparse
from pathlib import Path

from codec.cli.common import FAILED, AddCommand, print_error
from codec.model.decoder_dtypes import GRAPH_DTYPES
from codec.runtime.imports import importing


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "page",
        _run,
        "make a web page that plays .nac files",
        "Makes a folder with a web page that decodes and plays .nac files in the browser, and encodes sounds that are"
        " dropped on it. Any static web server can serve it, such as python -m http.server. Files that cannot be read"
        " are left out and named, and the exit status is then 1, as it is where a file is damaged.",
    )
    parser.add_argument("inputs", type=Path, nargs="*", metavar="IN", help=".nac files, folders of them, or patterns")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument(
        "--model",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="folders or names of models, to decode files of models that are not built in, or to encode with",
    )
    parser.add_argument(
        "--dtype",
        choices=GRAPH_DTYPES,
        default="int8",
        help="type in which the decoder's weights are stored (default: int8, the smallest)",
    )
    parser.add_argument(
        "--runtime",
        type=Path,
        metavar="DIR",
        help="folder of the npm package onnxruntime-web; by default npm fetches it once",
    )
    parser.add_argument(
        "--webgpu", action="store_true", help="compute with WebGPU where a browser has it (untried; 27 MB more)"
    )


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    with importing():
        from codec.pretrained.registry import find_model
        from eval.pages.nac_page import write_nac_page

    models = [find_model(name) for name in arguments.model]
    page = write_nac_page(arguments.inputs, arguments.out, models, arguments.dtype, arguments.runtime, arguments.webgpu)
    for failure in page.failures:
        print_error(failure.reason, FAILED)
    for damaged in page.damaged:
        print_error(f"{damaged.reason}; the page conceals the damage", FAILED)
    print(page.text())
    return FAILED if page.failures or page.damaged else 0
