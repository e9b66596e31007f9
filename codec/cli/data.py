"""Audio to training data: prepare."""

import argparse
import os
from pathlib import Path

from codec.cli.common import AddCommand, note, positive, show
from codec.runtime import signals


def add_prepare(command: AddCommand) -> None:
    parser = command(
        "prepare",
        _prepare,
        "folders of audio to checked, split and packed training data",
        "Takes folders of audio, lists (CSV, TSV, JSON Lines of NeMo and lhotse, Kaldi's wav.scp, paths in a .txt), and"
        " corpora as they lie: LJSpeech, VCTK, Common Voice, LibriSpeech, LibriTTS, MLS, VoxCeleb, AISHELL, Speech"
        " Commands, TIMIT, ESC-50, FSD50K, UrbanSound8K, MUSDB18, NSynth and others, which a line names with the groups"
        " that follow. Every file is decoded and checked once; what is left out stands with its reason in"
        " OUT/manifest.csv. The split is disjoint by group (speaker, recording, song) and stable: run it again when"
        " files were added, and no group moves. The domain of a file is its corpus', or the innermost folder on its"
        " path that is called speech, voice, music or general, or the column domain of a list, else audio; metrics and"
        " the targets of recipes go by it.",
    )
    parser.add_argument("sources", type=Path, nargs="+", metavar="SOURCE", help="folder, corpus or list")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="data folder to write")
    parser.add_argument("--recipe", default="speech_16k", help="whose rate, channels and target to use (%(default)s)")
    parser.add_argument("--rate", type=positive, metavar="HZ", help="sample rate, in place of the recipe's")
    parser.add_argument("--channels", type=int, choices=(1, 2), help="channels, in place of the recipe's")
    parser.add_argument("--ratios", default="8:1:1", help="train:val:test, e.g. 9:0.5:0.5 or 6:2:2 (%(default)s)")
    parser.add_argument(
        "--group-by",
        metavar="RULE",
        help="what must not be split: folder, file, level:N (the N outer folders), regex:PATTERN (its first group),"
        " column:NAME (of the list), or time (long recordings are divided, with gaps); default: what the corpus or list"
        " says, else the file's folder, and a question where folders lie in folders",
    )
    parser.add_argument("--plain", action="store_true", help="recognise no corpus, take folders as they are")
    parser.add_argument(
        "--domain", action="append", default=[], metavar="NAME", help="take only files of this domain (repeat)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split (%(default)s)")
    parser.add_argument("--min-seconds", type=float, default=0.5, help="shorter files are left out (%(default)s)")
    parser.add_argument("-j", "--workers", type=positive, default=os.cpu_count() or 1, help="processes (%(default)s)")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _prepare(arguments: argparse.Namespace, rest: list[str]) -> int:
    with signals.ends_at_once():
        from codec.recipe import read_recipe
        from data_prep.prepare import prepare

    recipe = read_recipe(arguments.recipe)
    summary = prepare(
        arguments.sources,
        arguments.out,
        sample_rate=arguments.rate or recipe.codec.sample_rate,
        channels=arguments.channels or recipe.data.channels,
        ratios=arguments.ratios,
        group_by=arguments.group_by,
        plain=arguments.plain,
        domains=arguments.domain,
        seed=arguments.seed,
        min_seconds=arguments.min_seconds,
        target=recipe.target,
        workers=arguments.workers,
        note=note,
    )
    show(summary, arguments.json)
    return 0
