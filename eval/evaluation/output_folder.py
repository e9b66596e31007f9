"""The folder of an evaluation: what made what is there, and how a new one takes its place."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codec.errors import UserError
from codec.runtime.file_lock import exclusive
from codec.runtime.json_files import read_json
from eval.evaluation.tables import CLIPS, DIFFERENCES, RATES, SUMMARY

RESULTS, REPORT, CODED = "results.json", "report.html", "coded"
WORK = ".work"
AGAIN = " --open-test-again"
"""Ends a command; it is about the ledger, and changes nothing of what is made."""


@contextmanager
def working_folder(out: Path) -> Iterator[Path]:
    """An empty folder in ``out`` for the files of an evaluation while it runs, which is the only one there.

    It is removed at the end of the block; what a killed evaluation left of it is removed at the beginning.

    Raises:
        UserError: another evaluation is at work in ``out``, or it cannot be written to.
    """
    with exclusive(out):
        work = out / WORK
        try:
            if work.exists():
                shutil.rmtree(work)
            work.mkdir()
        except OSError as error:
            raise UserError(f"{out}: cannot write here ({error.strerror}); choose another --out") from error
        try:
            yield work
        except OSError as error:
            raise UserError(f"{out}: cannot write the evaluation ({error.strerror or error})") from error
        finally:
            shutil.rmtree(work, ignore_errors=True)


def check_place(out: Path, command: str, force: bool) -> None:
    """Raises ``UserError`` where ``out`` holds what is not from an evaluation, or, unless ``force``, what another
    command than this made."""
    if not (out / RESULTS).exists():
        if (out / CODED).exists():
            raise UserError(f"{out}: its folder {CODED} is not from an evaluation; choose another --out")
        return
    made_by = _made_by(out / RESULTS)
    if not force and (made_by is None or made_by.removesuffix(AGAIN) != command.removesuffix(AGAIN)):
        told = f"`{made_by}`" if made_by else "another command"
        raise UserError(f"{out}: holds what {told} made; choose another --out, or --force to replace it")


def _made_by(results: Path) -> str | None:
    try:
        return str(read_json(results)["command"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def publish(work: Path, out: Path) -> None:
    """Moves what is finished to its place; the report last."""
    if (out / CODED).exists():
        os.replace(out / CODED, work / "replaced")
    os.replace(work / CODED, out / CODED)
    for name in (CLIPS, RATES, DIFFERENCES, SUMMARY, RESULTS, REPORT):
        os.replace(work / name, out / name)
