"""Judging codecs: evaluate, speed, compare."""

import argparse
import os
import shlex
from pathlib import Path

from codec.cli.common import FAILED, AddCommand, positive, result_alone, show
from codec.errors import UserError
from codec.runtime import signals


def add_evaluate(command: AddCommand) -> None:
    parser = command(
        "evaluate",
        _evaluate,
        "open the sealed test split and judge a run on it; writes an HTML report",
        "Each opening of the test split is recorded in a ledger beside the data. Tune on the validation split (--split"
        " val); open the test split when you are done, for all that is to be compared at once.",
    )
    parser.add_argument("run", help="folder of the run, or name of a built-in model")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by codec prepare")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="where the report goes (default: RUN/evaluation, RUN/validation)"
    )
    parser.add_argument(
        "--force", action="store_true", help="replace what another command left there; the same one may anyway"
    )
    parser.add_argument(
        "--split",
        choices=("test", "val"),
        default="test",
        help="val: the half of the validation groups that reports, and the gap to the half that selects",
    )
    parser.add_argument(
        "--open-test-again",
        action="store_true",
        help="judge on a test split that was opened before for other models; the report says so",
    )
    parser.add_argument(
        "--kbps",
        type=float,
        nargs="+",
        default=[],
        help="judge at these bit rates (default: with all codebooks); the report is about the first, others have rows"
        " beside it",
    )
    parser.add_argument(
        "--codebooks", type=positive, nargs="+", default=[], metavar="N", help="judge with N codebooks, likewise"
    )
    parser.add_argument(
        "--beside", nargs="+", default=[], metavar="MODEL", help="judge these runs or models on the same clips, too"
    )
    for name in ("Opus", "MP3", "AAC"):
        parser.add_argument(
            f"--{name.lower()}",
            type=float,
            nargs="+",
            default=[],
            metavar="KBPS",
            help=f"judge {name} on the same clips",
        )
    parser.add_argument(
        "--decoded",
        type=_named_folder,
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=DIR",
        help="judge what other codecs made of the recordings: folders of sound files named like these, with the bytes"
        " needed in bytes.csv (columns file, bytes) or in coded files beside them",
    )
    parser.add_argument("--clips", type=positive, metavar="N", help="judge at most N clips, spread over the groups")
    parser.add_argument("-j", "--workers", type=positive, default=os.cpu_count() or 1, help="processes (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def _named_folder(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if not name or not folder:
        raise argparse.ArgumentTypeError(f"must be NAME=DIR, not {text}")
    return name, Path(folder)


def _evaluate(arguments: argparse.Namespace, rest: list[str]) -> int:
    with signals.ends_at_once():
        from codec.pretrained.registry import built_in
        from eval.evaluation.run import EvaluationOptions, evaluate
        from eval.systems.baselines import ReferenceSystems
        from eval.systems.operating_point import OperatingPoint

    there = built_in()
    run = there.get(arguments.run)
    if run and arguments.out is None:
        raise UserError(f"{arguments.run} is a built-in model; say with --out where its report should go")
    decoded = dict(arguments.decoded)
    if len(decoded) < len(arguments.decoded):
        raise UserError("two folders after --decoded have the same name")
    options = EvaluationOptions(
        out=arguments.out,
        points=[OperatingPoint(kbps=rate) for rate in arguments.kbps]
        + [OperatingPoint(codebooks=number) for number in arguments.codebooks],
        references=ReferenceSystems(
            models=[there.get(name, Path(name)) for name in arguments.beside],
            opus=arguments.opus,
            mp3=arguments.mp3,
            aac=arguments.aac,
            decoded=decoded,
        ),
        split=arguments.split,
        again=arguments.open_test_again,
        max_clips=arguments.clips,
        workers=arguments.workers,
        force=arguments.force,
    )
    result = evaluate(run or Path(arguments.run), arguments.data, options)
    show(result, arguments.json)
    return 0


def add_report(command: AddCommand) -> None:
    parser = command(
        "report",
        _report,
        "join evaluations and searches into one HTML page",
        "One page that loads nothing: systems side by side, their curves in one plot, and links to each report.",
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="that codec evaluate or search wrote")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.html", help="the page to write")


def _report(arguments: argparse.Namespace, rest: list[str]) -> int:
    from eval.pages.combined_page import join

    join(arguments.folders, arguments.out)
    print(f"report: {arguments.out}")
    return 0


def add_speed(command: AddCommand) -> None:
    parser = command(
        "speed",
        _speed,
        "encode and decode speed, latency, memory, work; beside peers that are installed",
        "Times recipes (architecture with random weights) and models in float32, all taking turns in one run, and"
        " measures latency, receptive field, memory and where time goes. Let nothing else run meanwhile. Takes about"
        " 2 minutes, with --peers 8.",
    )
    parser.add_argument(
        "systems",
        nargs="*",
        metavar="MODEL_OR_RECIPE",
        help="recipe name or path, or folder of a run or model (default: speech_24k speech_16k)",
    )
    parser.add_argument("--peers", action="store_true", help="time the peers installed, too (pip install '.[peers]')")
    parser.add_argument(
        "--seconds", type=float, nargs="+", default=[10.0, 60.0], metavar="S", help="lengths of the clips (10 60)"
    )
    parser.add_argument("--rounds", type=positive, default=5, help="how often each is timed (%(default)s)")
    parser.add_argument("--threads", type=positive, default=1, help="of the matrix products (%(default)s)")
    parser.add_argument("--training", action="store_true", help="time training steps, too")
    parser.add_argument("--compile", action="store_true", help="best against best with torch.compile on both sides")
    parser.add_argument("--onnx", action="store_true", help="time streams in ONNX Runtime, too (needs the extra onnx)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="write a Markdown page, too")


def _speed(arguments: argparse.Namespace, rest: list[str]) -> int:
    with signals.ends_at_once():
        from eval.benchmarks.speed import DEFAULT_SYSTEMS, speed

    if arguments.out and not arguments.out.parent.is_dir():
        raise UserError(f"{arguments.out}: no such folder; create it first")
    result = speed(
        arguments.systems or DEFAULT_SYSTEMS,
        peers=arguments.peers,
        seconds=arguments.seconds,
        rounds=arguments.rounds,
        threads=arguments.threads,
        training=arguments.training,
        compiled=arguments.compile,
        onnx=arguments.onnx,
        command=_command_line(arguments),
    )
    show(result, arguments.json)
    if arguments.out:
        arguments.out.write_text(result.markdown(), encoding="utf-8")
    return 0


def _command_line(arguments: argparse.Namespace) -> str:
    """What to type for the same measurement."""
    words = ["codec", "speed", *arguments.systems]
    words += [f"--{name}" for name in ("peers", "training", "compile", "onnx") if getattr(arguments, name)]
    words += ["--seconds", *(f"{length:g}" for length in arguments.seconds)]
    words += ["--rounds", str(arguments.rounds), "--threads", str(arguments.threads)]
    return shlex.join(words + (["--out", str(arguments.out)] if arguments.out else []))


def add_compare(command: AddCommand) -> None:
    parser = command(
        "compare",
        _compare,
        "train several codecs on the same data and tabulate their validation quality",
        "Trains the candidates of a plan (recipes/compare, or your own) with the same loop, losses and budget, and"
        " judges them on validation clips at several bit rates, differences paired over speakers. Writes"
        " OUT/comparison.md, comparison.json and curves.png. The same command goes on after an interruption; what is"
        " trained is kept.",
    )
    parser.add_argument("plan", help="name of a plan, such as peers, equal_examples, ablation; or path of a YAML file")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder written by codec prepare")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where runs and tables go")
    budget = parser.add_mutually_exclusive_group()
    budget.add_argument("--minutes", type=float, help="of training for each candidate, in place of the plan's budget")
    budget.add_argument("--steps", type=int, help="for each candidate, in place of the plan's budget")
    parser.add_argument("--seeds", type=int, nargs="+", metavar="N", help="for every candidate, in place of the plan's")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="train these candidates alone")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")


def _compare(arguments: argparse.Namespace, rest: list[str]) -> int:
    from eval.comparison.run import compare

    with result_alone():
        result = compare(
            arguments.plan,
            arguments.data,
            arguments.out,
            minutes=arguments.minutes,
            steps=arguments.steps,
            seeds=arguments.seeds,
            only=arguments.only,
        )
    show(result, arguments.json)
    return FAILED if result.failed else 0
