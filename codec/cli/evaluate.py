"""``codec evaluate``: quality and measured bit rate of a model, on the sealed test split or on validation."""

import argparse
import os
from dataclasses import replace
from pathlib import Path

from codec.cli.cluster_options import add_cluster_options, workers
from codec.cli.common import AddCommand, add_data_option, add_quiet_option, positive, print_result
from codec.errors import UserError
from codec.model.decoder_dtypes import DTYPES
from codec.runtime.imports import importing


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "evaluate",
        _run,
        "evaluate a run on the sealed test split or on validation; writes an HTML report",
        "Evaluates a run. Each opening of the test split is recorded in a ledger in the data folder. Tune on the"
        " validation split (--split val), and open the test split when you are done, for all models that are to be"
        " compared at once.",
    )
    parser.add_argument("run", help="folder of the run, or name of a built-in model")
    add_data_option(parser)
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder for the report (default: RUN/evaluation, or RUN/validation with --split val)",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace results of another command in that folder (those of the same command are replaced anyway)",
    )
    parser.add_argument(
        "--split",
        choices=("test", "val"),
        default="test",
        help="val: report on the half of the validation groups that was not used for model selection, and on the"
        " difference between the two halves (default: %(default)s)",
    )
    parser.add_argument(
        "--open-test-again",
        action="store_true",
        help="evaluate on a test split that was opened before for other models; the report mentions it",
    )
    parser.add_argument(
        "--kbps",
        type=float,
        nargs="+",
        default=[],
        help="bit rates to evaluate at (default: all codebooks); the report covers the first; the others appear as"
        " table rows",
    )
    parser.add_argument(
        "--codebooks", type=positive, nargs="+", default=[], metavar="N", help="numbers of codebooks to evaluate with"
    )
    parser.add_argument(
        "--dtype",
        nargs="+",
        choices=DTYPES[1:],
        default=[],
        help="also decode with other types than float32, in rows of their own",
    )
    parser.add_argument(
        "--beside", nargs="+", default=[], metavar="MODEL", help="also evaluate these runs or models on the same clips"
    )
    for name in ("Opus", "MP3", "AAC"):
        parser.add_argument(
            f"--{name.lower()}",
            type=float,
            nargs="+",
            default=[],
            metavar="KBPS",
            help=f"also evaluate {name} at these bit rates on the same clips",
        )
    parser.add_argument(
        "--decoded",
        type=_named_folder,
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=DIR",
        help="also evaluate another codec's decodes of the recordings: a folder of audio files with the same names, and"
        " their coded sizes in bytes.csv (columns file, bytes) or as coded files in the same folder",
    )
    parser.add_argument("--clips", type=positive, metavar="N", help="evaluate at most N clips, spread over the groups")
    parser.add_argument("-j", "--workers", type=positive, help="processes (default: one per core)")
    add_cluster_options(parser)
    add_quiet_option(parser)
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def _named_folder(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if not name or not folder:
        raise argparse.ArgumentTypeError(f"must be NAME=DIR, not {text}")
    return name, Path(folder)


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    with importing():
        from codec.dataset.location import parse_location
        from codec.pretrained.registry import built_in, find_model
        from eval.evaluation.job import EvaluationOptions
        from eval.evaluation.run import evaluate
        from eval.systems.baselines import ReferenceSystems
        from eval.systems.operating_point import OperatingPoint

    run = find_model(arguments.run)
    if arguments.out is None and arguments.run in built_in():
        raise UserError(f"{arguments.run} is a built-in model; give the folder for its report with --out")
    decoded = dict(arguments.decoded)
    if len(decoded) < len(arguments.decoded):
        raise UserError("two folders after --decoded have the same name; give each a name of its own")
    points = [OperatingPoint(kbps=rate) for rate in arguments.kbps]
    points += [OperatingPoint(codebooks=number) for number in arguments.codebooks]
    options = EvaluationOptions(
        out=arguments.out,
        points=[
            replace(point, dtype=dtype)
            for dtype in dict.fromkeys([DTYPES[0], *arguments.dtype])
            for point in points or [OperatingPoint()]
        ],
        references=ReferenceSystems(
            models=[find_model(name) for name in arguments.beside],
            opus=arguments.opus,
            mp3=arguments.mp3,
            aac=arguments.aac,
            decoded=decoded,
        ),
        split=arguments.split,
        again=arguments.open_test_again,
        max_clips=arguments.clips,
        workers=workers(arguments, (arguments.out or run / "evaluation").parent, default=os.cpu_count() or 1),
        force=arguments.force,
    )
    result = evaluate(run, parse_location(arguments.data), options)
    print_result(result, arguments.json)
    return 0
