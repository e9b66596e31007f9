"""The folder of an evaluation: what made what is there, and how a new one takes its place."""

import json
import os
from pathlib import Path

from codec.errors import UserError
from eval.result_files import CLIPS, DIFFERENCES, RATES, SUMMARY

RESULTS, REPORT, CODED = "results.json", "report.html", "coded"
AGAIN = " --open-test-again"
"""Ends a command; it is about the ledger, and changes nothing of what is made."""


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
        return str(json.loads(results.read_text(encoding="utf-8"))["command"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def publish(work: Path, out: Path) -> None:
    """Moves what is finished to its place; the report last."""
    if (out / CODED).exists():
        os.replace(out / CODED, work / "replaced")
    os.replace(work / CODED, out / CODED)
    for name in (CLIPS, RATES, DIFFERENCES, SUMMARY, RESULTS, REPORT):
        os.replace(work / name, out / name)
