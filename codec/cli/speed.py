"""``codec speed``: everything about a codec that does not depend on its training."""

import argparse
from pathlib import Path

from codec.cli.common import AddCommand, positive, print_result
from codec.errors import UserError
from codec.runtime.command import running_command
from codec.runtime.imports import importing


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "speed",
        _run,
        "measure encoding and decoding speed, latency, memory and operations, with installed peers for comparison",
        "Times models, and recipes (their architecture with random weights), which take turns in one run, and"
        " measures latency, receptive field, memory and the time of each operation. Let nothing else run meanwhile. It"
        " takes about 2 minutes, and 8 with --peers.",
    )
    parser.add_argument(
        "systems",
        nargs="*",
        metavar="MODEL_OR_RECIPE",
        help="name of a model or recipe, or path of a recipe, run or model (default: speech_24k speech_16k)",
    )
    parser.add_argument("--peers", action="store_true", help="also time the installed peers (pip install '.[peers]')")
    parser.add_argument(
        "--seconds",
        type=float,
        nargs="+",
        default=[10.0, 60.0],
        metavar="S",
        help="lengths of the clips in seconds (default: 10 60)",
    )
    parser.add_argument("--rounds", type=positive, default=5, help="timings of each system (default: %(default)s)")
    parser.add_argument(
        "--threads", type=positive, default=1, help="CPU threads PyTorch may use (default: %(default)s)"
    )
    parser.add_argument("--training", action="store_true", help="also time training steps")
    parser.add_argument(
        "--compile", action="store_true", help="also time models compiled by torch.compile, and compile those of peers"
    )
    parser.add_argument("--onnx", action="store_true", help="also time streams in ONNX Runtime (needs the extra onnx)")
    parser.add_argument(
        "--against",
        type=Path,
        metavar="WHEEL",
        help="also time the models in this wheel of another build, for a comparison side by side",
    )
    parser.add_argument(
        "--audio",
        type=Path,
        metavar="FILE",
        help="also time codec encode and decode on this sound file of minutes, and with --peers libopus in ffmpeg",
    )
    parser.add_argument(
        "--kbps", type=float, nargs="+", default=[], help="with --audio: bit rates to time beside all codes"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="also write a Markdown page")


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    with importing():
        from eval.benchmarks.speed import DEFAULT_SYSTEMS, SpeedOptions, run_speed_benchmark

    if arguments.out and not arguments.out.parent.is_dir():
        raise UserError(f"{arguments.out}: the folder does not exist; create it first")
    options = SpeedOptions(
        peers=arguments.peers,
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        threads=arguments.threads,
        training=arguments.training,
        compiled=arguments.compile,
        onnx=arguments.onnx,
        against=arguments.against,
        audio=arguments.audio,
        kbps=arguments.kbps,
    )
    result = run_speed_benchmark(arguments.systems or DEFAULT_SYSTEMS, options, command=running_command())
    print_result(result, arguments.json)
    if arguments.out:
        arguments.out.write_text(result.markdown(), encoding="utf-8")
    return 0
