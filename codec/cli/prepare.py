"""``codec prepare``: folders of audio to training data."""

import argparse
import os
from pathlib import Path

from codec.cli.cluster_options import add_cluster_options, workers
from codec.cli.common import AddCommand, add_quiet_option, positive, print_note, print_result, print_warning
from codec.runtime.imports import importing


def add_parser(command: AddCommand) -> None:
    """Add the command.

    Args:
        command: adds a command, see :func:`codec.cli.build_parser`
    """
    parser = command(
        "prepare",
        _run,
        "check, split and pack folders of audio as training data",
        "Takes folders of audio, lists (CSV, TSV, JSON Lines of NeMo and lhotse, Kaldi's wav.scp, paths in a .txt"
        " file), and corpora in their original layout: LJSpeech, VCTK, Common Voice, LibriSpeech, LibriTTS, MLS,"
        " VoxCeleb, AISHELL, Speech Commands, TIMIT, ESC-50, FSD50K, UrbanSound8K, MUSDB18, NSynth and others. The"
        " recognised layout and grouping are printed. Every file is decoded and checked once; OUT/manifest.csv lists"
        " every file, with the reason if it is excluded. Groups (speakers, recordings, songs) are never divided among"
        " splits, and they stay in their split when files are added and the command runs again. The domain of a"
        " recording is given by --as, its corpus, the column domain of a list, or its nearest parent folder called"
        " speech, voice, music or general; otherwise it is audio. Metrics and the targets of recipes depend on it.",
    )
    parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE", help="folder, corpus or list")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="data folder to write")
    parser.add_argument(
        "--recipe",
        default="speech_16k",
        help="recipe with the sample rate, channels and target to prepare for (default: %(default)s)",
    )
    parser.add_argument("--rate", type=positive, metavar="HZ", help="sample rate (default: the recipe's)")
    parser.add_argument("--channels", type=int, choices=(1, 2), help="channels (default: the recipe's)")
    add_ratios_option(parser)
    parser.add_argument(
        "--group-by",
        metavar="RULE",
        help="groups that must not be divided: folder, file, level:N (the N outer folders), regex:PATTERN (its first"
        " capture group), column:NAME (of the list), or time (long recordings are divided, with gaps); or rest:RULE for"
        " plain folders beside corpora and lists, which keep their own groups. Default: the rule of the corpus or list,"
        " else the folder of each file; for nested folders a rule must be given",
    )
    parser.add_argument("--plain", action="store_true", help="do not recognise corpora; use folders as they are")
    add_domain_option(parser)
    parser.add_argument(
        "--domain", action="append", default=[], metavar="NAME", help="use only files of this domain (may be repeated)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the split (default: %(default)s)")
    parser.add_argument("--min-seconds", type=float, default=0.5, help="exclude shorter files (default: %(default)s)")
    parser.add_argument("-j", "--workers", type=positive, help="processes (default: one per core)")
    add_cluster_options(parser)
    add_quiet_option(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def add_ratios_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--ratios``.

    Args:
        parser: parser of a command that prepares data.
    """
    from data_prep.split_ratios import DEFAULT_RATIOS

    parser.add_argument(
        "--ratios", default=DEFAULT_RATIOS, help="train:val:test, such as 9:0.5:0.5 or 6:2:2 (default: %(default)s)"
    )


def add_domain_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--as``, of which the list of domains and folders is ``assigned``.

    Args:
        parser: parser of a command that prepares data.
    """
    parser.add_argument(
        "--as",
        dest="assigned",
        action="append",
        default=[],
        type=_assignment,
        metavar="DOMAIN[=FOLDER]",
        help="domain of all files, or of those below FOLDER, a folder or file in a source: speech, music or general"
        " (may be repeated, as in --as speech=interviews --as music=songs; the later one holds)",
    )


def _assignment(text: str) -> tuple[str, str]:
    domain, _, folder = text.partition("=")
    return domain, folder


def _run(arguments: argparse.Namespace, rest: list[str]) -> int:
    with importing():
        from codec.recipe import read_recipe
        from data_prep.options import PrepareOptions
        from data_prep.prepare import prepare

    recipe = read_recipe(arguments.recipe)
    summary = prepare(
        arguments.sources,
        arguments.out,
        PrepareOptions(
            sample_rate=arguments.rate or recipe.codec.sample_rate,
            channels=arguments.channels or recipe.data.channels,
            ratios=arguments.ratios,
            group_by=arguments.group_by,
            plain=arguments.plain,
            domains=arguments.domain,
            assigned=arguments.assigned,
            seed=arguments.seed,
            min_seconds=arguments.min_seconds,
            recipe=arguments.recipe,
            target=recipe.target,
            workers=workers(arguments, arguments.out, default=os.cpu_count() or 1),
        ),
        note=print_note,
        warn=print_warning,
    )
    print_result(summary, arguments.json)
    return 0
