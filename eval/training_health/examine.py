"""The health of a training run, in progress or ended, read from the files that it wrote.

Each topic gives a finding: *good*, *watch* or *bad*, or *unknown* if nothing was recorded, as in runs of earlier
versions.
"""

import contextlib
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from codec.config import Recipe
from codec.errors import UserError
from codec.pretrained.model_folder import read_training_info
from codec.recipe import read_recipe
from codec.runtime.text import format_duration
from codec.training.fit_diagnosis import Diagnosis, diagnose_curves
from codec.training.heard_audio import HEARD_HEADER, HeardAudio, heard_rows, read_heard_audio
from codec.training.metrics_log import METRICS_FILE, Curves, comparable_curves, read_curves
from codec.training.run_folder import TrainingResult, earlier_recipes, read_result
from codec.training.status import TrainingStatus, explain_best, training_status
from eval.pages.text_table import Table
from eval.training_health.findings import (
    Finding,
    State,
    check_codebooks,
    check_discriminator,
    check_fit,
    check_gradients,
    check_speed,
)


@dataclass(frozen=True)
class RunHealth:
    """All that was found about a run. The fields are keys of ``codec health --json``."""

    run: str
    made: str
    """Date and time, UTC."""
    progress: str
    """Progress of the run, or the reason why it ended."""
    best: str
    """Step of the saved weights and its validation loss, compared with other steps."""
    diagnosis: Diagnosis
    """Verdict on the fit, at the last validation."""
    standing: TrainingStatus | None
    """Status at the last validation; None before the first."""
    findings: list[Finding]
    heard: HeardAudio | None
    """What the saved weights were trained on; None if there are none yet, or if it was not recorded."""

    @property
    def state(self) -> State:
        """The worst state of all findings; not ``good`` before there is a verdict on the fit."""
        states = {finding.state for finding in self.findings}
        worst: tuple[State, ...] = ("bad", "watch") if self._undecided else ("bad", "watch", "good")
        return next((state for state in worst if state in states), "unknown")

    @property
    def answer(self) -> str:
        """Sentence about the state."""
        amiss = [finding.topic for finding in self.findings if finding.state == self.state]
        early = "It is too early for a verdict, but there" if self._undecided else "There"
        return {
            "good": "No problem was found in this run.",
            "watch": f"{early} is something to look at: {', '.join(amiss)}.",
            "bad": f"There is a problem in this run: {', '.join(amiss)}.",
            "unknown": "It is too early for a verdict on this run.",
        }[self.state]

    @property
    def _undecided(self) -> bool:
        return self.diagnosis.verdict == "undecided"

    def text(self) -> str:
        """Format the findings for a terminal.

        Returns:
            Several lines.
        """
        lines = [f"{self.run}: {self.progress}", self.answer]
        for finding in self.findings:
            advice = f" {finding.advice}" if finding.advice and finding.state != "good" else ""
            lines.append(f"  {finding.state:8}{finding.topic}: {finding.text}{advice}")
        lines.append(f"  best    {self.best}")
        if self.heard:
            lines += ["", "heard until then:", *heard_table(self.heard).text().splitlines()]
            lines += [f"not counted: {text}" for text in self.heard.unrecorded]
        return "\n".join(lines)


def examine(run: Path, name: str = "") -> RunHealth:
    """Examine a run.

    Args:
        run: its folder.
        name: name of the run in the result; empty: the folder.

    Returns:
        The findings.

    Raises:
        UserError: the folder has no recipe or no curves.
    """
    curves = read_curves(run)
    if not curves:
        raise UserError(f"{run / METRICS_FILE}: holds no curves; give the folder of a run")
    recipe, result = read_recipe(str(run / "recipe.yaml")), read_result(run)
    found = training_status(curves, recipe)
    diagnosis = diagnose_curves(curves, warmup_steps=recipe.optim.warmup_steps)
    ended = result is not None or (found is not None and found.step >= recipe.train.steps)
    findings = [
        check_fit(comparable_curves(curves), diagnosis, ended),
        check_gradients(curves, recipe),
        check_codebooks(found),
        check_discriminator(curves, recipe),
        check_speed(curves, recipe),
    ]
    return RunHealth(
        run=name or str(run),
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        progress=_progress(run, curves, recipe, found, result) + _with_other_settings(run),
        best=explain_best(comparable_curves(curves)["val", "total"], kept_step(run, result))
        if found
        else "no validation yet",
        diagnosis=diagnosis,
        standing=found,
        findings=findings,
        heard=_read_heard(run),
    )


def heard_table(heard: HeardAudio) -> Table:
    """Lay out what was heard.

    Args:
        heard: the record.

    Returns:
        The table, without the licences, which are long and stand in the model card.
    """
    columns = [column for column, name in enumerate(HEARD_HEADER) if name != "licence"]
    head, *rows = ([line[column] for column in columns] for line in (HEARD_HEADER, *heard_rows(heard)))
    missing = f" Not counted: {'; '.join(heard.unrecorded)}." if heard.unrecorded else ""
    note = (
        f"{heard.heard_s / 3600:.2f} hours of crops, before augmentation, until the step of the saved weights.{missing}"
    )
    return Table("What was heard", note, head, rows)


def _read_heard(run: Path) -> HeardAudio | None:
    with contextlib.suppress(UserError):
        return read_heard_audio(run)
    return None


def kept_step(run: Path, result: TrainingResult | None) -> int | None:
    """Find the step whose weights the run has saved.

    Args:
        run: its folder.
        result: result of the run; None if it has not ended.

    Returns:
        The step; None if it is not known.
    """
    if result is not None:
        return result.best_step
    with contextlib.suppress(UserError):
        step = read_training_info(run).get("step")
        return step if isinstance(step, int) else None
    return None


def _progress(
    run: Path, curves: Curves, recipe: Recipe, found: TrainingStatus | None, result: TrainingResult | None
) -> str:
    if result is not None:
        return f"stopped after {result.steps:,} steps, {result.minutes:.1f} minutes of training: {result.stopped}"
    step = max(curve.steps[-1] for curve in curves.values())
    if step >= recipe.train.steps:
        return f"all {step:,} steps done"
    heard = datetime.now().timestamp() - (run / METRICS_FILE).stat().st_mtime
    left = f", {format_duration(found.left_s)} left" if found and found.left_s is not None else ""
    return (
        f"at step {step:,} of {recipe.train.steps:,}{left}; last output {format_duration(max(0.0, heard))} ago"
        " (in progress, or interrupted)"
    )


def _with_other_settings(run: Path) -> str:
    earlier = earlier_recipes(run)
    return "".join(f"; until step {step:,} with the settings of {path.name}" for step, path in earlier.items())
