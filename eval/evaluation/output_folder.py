"""The folder that an evaluation is written to, and how a new evaluation replaces what is there."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codec.errors import UserError
from codec.runtime.file_lock import exclusive
from codec.runtime.json_files import read_json
from eval.evaluation.tables import CLIPS_CSV, DIFFERENCES_CSV, RATES_CSV, RESULTS_MD

RESULTS, REPORT, CODED = "results.json", "report.html", "coded"
WORK = ".work"
OPEN_AGAIN = " --open-test-again"
"""Ends a command; it is about the ledger, and changes nothing in the results."""


@contextmanager
def working_folder(out: Path) -> Iterator[Path]:
    """Provide an empty folder in ``out`` for the files of an evaluation while it runs.

    It is removed at the end of the block; what a killed evaluation left of it is removed at the beginning.

    Args:
        out: folder of the evaluation.

    Yields:
        The folder.

    Raises:
        UserError: another evaluation is running in ``out``, or ``out`` cannot be written to.
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


def check_replaceable(out: Path, command: str, force: bool) -> None:
    """Check that an evaluation may write its results to ``out``.

    Args:
        out: folder of the evaluation.
        command: that is to write there; it may replace results that the same command made.
        force: replace the results of another command, too.

    Raises:
        UserError: ``out`` holds what is not from an evaluation, or the results of another command.
    """
    if not (out / RESULTS).exists():
        if (out / CODED).exists():
            raise UserError(f"{out}: its folder {CODED} is not from an evaluation; choose another --out")
        return
    made_by = _read_command(out / RESULTS)
    if not force and (made_by is None or made_by.removesuffix(OPEN_AGAIN) != command.removesuffix(OPEN_AGAIN)):
        other = f"`{made_by}`" if made_by else "another command"
        raise UserError(f"{out}: holds the results of {other}; choose another --out, or --force to replace them")


def _read_command(results: Path) -> str | None:
    try:
        return str(read_json(results)["command"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def publish_evaluation(work: Path, out: Path) -> None:
    """Move the finished files to their place, the report last.

    Args:
        work: the folder that :func:`working_folder` provided.
        out: folder of the evaluation.
    """
    if (out / CODED).exists():
        os.replace(out / CODED, work / "replaced")
    os.replace(work / CODED, out / CODED)
    for name in (CLIPS_CSV, RATES_CSV, DIFFERENCES_CSV, RESULTS_MD, RESULTS, REPORT):
        os.replace(work / name, out / name)
