"""The output folder of an evaluation, and its replacement by a new evaluation."""

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
"""End of a command; the option concerns the ledger and does not change the results."""


@contextmanager
def working_folder(out: Path) -> Iterator[Path]:
    """Provide an empty folder in ``out`` for the files of an evaluation while it runs.

    It is removed at the end of the block; the remains of a killed evaluation are removed at the beginning.

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
        command: command of the new evaluation; it may replace results of the same command.
        force: also replace the results of another command.

    Raises:
        UserError: ``out`` holds files that are not from an evaluation, or the results of another command.
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
    """Move the finished files to the output folder, the report last.

    Args:
        work: the folder that :func:`working_folder` provided.
        out: folder of the evaluation.
    """
    if (out / CODED).exists():
        os.replace(out / CODED, work / "replaced")
    os.replace(work / CODED, out / CODED)
    for name in (CLIPS_CSV, RATES_CSV, DIFFERENCES_CSV, RESULTS_MD, RESULTS, REPORT):
        os.replace(work / name, out / name)
