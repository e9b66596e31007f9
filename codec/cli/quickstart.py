"""``codec quickstart``: every room in one walk. Part of the command line, and like it allowed to know all rooms."""

import os
import time
from pathlib import Path

from codec.errors import UserError
from codec.recipe import read_recipe
from codec.runtime.atomic_files import make_folder, write_text
from codec.training.trainer import train
from data_prep.groups import choose, groups_for
from data_prep.prepare import prepare
from data_prep.sources import find
from data_prep.synthetic_corpus import synthesise
from eval.evaluation.run import EvaluationOptions, evaluate

RECIPE = "quickstart"
CLIPS = 24
"""Test clips that are judged: enough for a figure, few enough for the time."""


def quickstart(audio: Path | None, out: Path, group_by: str | None = None) -> Path:
    """Prepares ``audio`` (or a synthesised corpus), trains a small codec, judges it on clips it has never seen, and
    prints and returns the path of the report. Run again after an interruption, it goes on where it was. ``group_by`` is
    that of :func:`data_prep.prepare.prepare`.

    Raises ``UserError`` where the audio is missing or too little, or ``out`` is not writable or in use for other audio.
    """
    started = time.monotonic()
    recipe = read_recipe(RECIPE)
    if audio is not None:
        entries = find([audio]).entries
        groups_for(entries, choose(entries, group_by))  # no audio or no clear groups, no claim
    _claim(out, audio)
    if audio is None:
        print("1/4  synthesising a small corpus (use --audio DIR for your own)", flush=True)
        audio = synthesise(out / "audio", sample_rate=recipe.codec.sample_rate)
    else:
        print(f"1/4  your audio: {audio}", flush=True)
    print("2/4  preparing: every file checked, split by group, packed", flush=True)
    summary = prepare(
        [audio],
        out / "data",
        sample_rate=recipe.codec.sample_rate,
        channels=recipe.data.channels,
        group_by=group_by,
        target=recipe.target,
        workers=os.cpu_count() or 1,
        note=print,
    )
    print(summary.text())
    print(
        f"3/4  training at most {recipe.train.steps} steps, at most {recipe.train.max_minutes:g} minutes",
        flush=True,
    )
    trained = train(recipe, out / "data", out / "run")
    print(f"     {trained.steps} steps ({trained.stopped}), {trained.minutes:.1f} minutes")
    print("4/4  coding, decoding and judging clips of the sealed test split, as a demonstration", flush=True)
    options = EvaluationOptions(demonstration=True, max_clips=CLIPS, workers=os.cpu_count() or 1)
    result = evaluate(out / "run", out / "data", options)
    print(result.text())
    print(f"\ndone in {(time.monotonic() - started) / 60:.1f} minutes. Open the report: {result.report.resolve()}")
    print(f"try: codec encode YOUR.wav --out {out / 'nac'} --model {out / 'run'}")
    return result.report


def _claim(out: Path, audio: Path | None) -> None:
    """Data, run and report of ``out`` belong to one source; another one must not be mixed in."""
    note = out / "source.txt"
    source = "synthetic" if audio is None else str(audio.resolve())
    if note.is_file() and note.read_text(encoding="utf-8", errors="surrogateescape").strip() != source:
        raise UserError(f"{out}: holds a quickstart on other audio; choose another --out")
    make_folder(out)
    write_text(note, source + "\n")
