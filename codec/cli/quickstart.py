"""``codec quickstart``: prepare, train and evaluate in a few minutes."""

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path

from codec.cli.common import AddCommand, print_warning
from codec.cli.prepare import add_domain_option, add_ratios_option
from codec.errors import UserError
from codec.runtime.imports import importing
from codec.training.lean_lightning import import_lightning

RECIPE = "quickstart"
CLIPS = 24
"""Test clips that are scored: enough for a figure, few enough for the time."""


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "quickstart", _run, "prepare audio, train a small codec and evaluate it in a few minutes, ending in a report"
    )
    parser.add_argument(
        "--audio", type=Path, metavar="DIR", help="folder of your own audio (default: a small synthetic corpus)"
    )
    parser.add_argument(
        "--group-by", metavar="RULE", help="groups that must not be divided among splits, as for codec prepare"
    )
    add_domain_option(parser)
    add_ratios_option(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("lathe-quickstart"),
        metavar="DIR",
        help="folder to write (default: %(default)s)",
    )


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    quickstart(arguments.audio, arguments.out, arguments.group_by, arguments.assigned, arguments.ratios)
    return 0


def quickstart(
    audio: Path | None, out: Path, group_by: str | None, assigned: Sequence[tuple[str, str]], ratios: str
) -> Path:
    """Prepare audio, train a small codec and evaluate it on clips that were not used for training.

    The same call continues after an interruption.

    Args:
        audio: folder of audio, or None to synthesise a small corpus
        out: folder for audio, data, run and report
        group_by: rule for the groups that must not be divided among splits, see
            :class:`data_prep.options.PrepareOptions`
        assigned: domains and the folders whose files have them, see there
        ratios: shares of the splits, see there

    Returns:
        The path of the report, which is also printed.

    Raises:
        UserError: there is no audio or too little, or ``out`` cannot be written to or is in use for other audio.
    """
    with importing():
        import_lightning()
        from codec.recipe import read_recipe
        from codec.training.trainer import train
        from data_prep.groups import choose_grouping, group_entries
        from data_prep.options import PrepareOptions
        from data_prep.prepare import prepare
        from data_prep.sources import find_audio
        from data_prep.split_ratios import SplitRatios
        from data_prep.synthetic_corpus import synthesise_corpus
        from eval.evaluation.job import EvaluationOptions
        from eval.evaluation.run import evaluate

    started = time.monotonic()
    recipe = read_recipe(RECIPE)
    SplitRatios.parse(ratios)
    if audio is not None:
        entries = find_audio([audio], assigned=assigned).entries
        for _ in group_entries(entries, choose_grouping(entries, group_by)):  # an error here leaves no folder behind
            pass
    _claim(out, audio)
    if audio is None:
        print("1/4  synthesising a small corpus (use --audio DIR for your own)", flush=True)
        audio = synthesise_corpus(out / "audio", sample_rate=recipe.codec.sample_rate)
    else:
        print(f"1/4  your audio: {audio}", flush=True)
    print("2/4  preparing: every file checked, split by group, packed", flush=True)
    summary = prepare(
        [audio],
        out / "data",
        PrepareOptions(
            sample_rate=recipe.codec.sample_rate,
            channels=recipe.data.channels,
            ratios=ratios,
            group_by=group_by,
            assigned=assigned,
            target=recipe.target,
            workers=os.cpu_count() or 1,
        ),
        note=print,
        warn=print_warning,
    )
    print(summary.text())
    print(
        f"3/4  training at most {recipe.train.steps} steps, at most {recipe.train.max_minutes:g} minutes",
        flush=True,
    )
    trained = train(recipe, out / "data", out / "run")
    print(f"     {trained.steps} steps ({trained.stopped}), {trained.minutes:.1f} minutes")
    print("4/4  encoding, decoding and scoring clips of the sealed test split, as a demonstration", flush=True)
    options = EvaluationOptions(demonstration=True, max_clips=CLIPS, workers=os.cpu_count() or 1)
    result = evaluate(out / "run", out / "data", options)
    print(result.text())
    print(f"\ndone in {(time.monotonic() - started) / 60:.1f} minutes. Open the report: {result.report.resolve()}")
    print(f"try: codec encode YOUR.wav --out {out / 'nac'} --model {out / 'run'}")
    return result.report


def _claim(out: Path, audio: Path | None) -> None:
    """Reserve ``out`` for one source of audio: its data, run and report must not mix with those of another."""
    from codec.runtime.atomic_files import make_folder, write_text

    note = out / "source.txt"
    source = "synthetic" if audio is None else str(audio.resolve())
    if note.is_file() and note.read_text(encoding="utf-8", errors="surrogateescape").strip() != source:
        raise UserError(f"{out}: holds a quickstart on other audio; choose another --out")
    make_folder(out)
    write_text(note, source + "\n")
