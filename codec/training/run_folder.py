"""What a run leaves in its folder, for those who look at it without training."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from codec.runtime.atomic_files import write_text
from codec.runtime.file_lock import EXCLUSIVE, exclusive
from codec.runtime.json_files import from_json, read_json

RESULT_FILE, SOUNDS_FOLDER, ORIGINAL = "run.json", "sounds", "original"
_STEP, _EARLIER = re.compile(r"step_(\d+)"), re.compile(r"recipe-until-step-(\d+)\.yaml")


@dataclass(frozen=True)
class TrainingResult:
    """How a run ended; also RUN/run.json."""

    steps: int
    stopped: str
    """Why: all steps done, the clock, early stopping, a collapsed codebook."""
    best_step: int
    best_validation_loss: float
    minutes: float

    def write(self, run: Path) -> None:
        write_text(run / RESULT_FILE, json.dumps(asdict(self), indent=1) + "\n")


def read_result(run: Path) -> TrainingResult | None:
    """None where the run has not ended, or the file is damaged."""
    try:
        return from_json(TrainingResult, read_json(run / RESULT_FILE))
    except (OSError, ValueError):
        return None


def keep_recipe(run: Path, step: int) -> Path:
    """Before a run goes on from ``step`` with other settings, keeps the recipe that led there."""
    kept = run / f"recipe-until-step-{step}.yaml"
    if not kept.exists():
        write_text(kept, (run / "recipe.yaml").read_text(encoding="utf-8"))
    return kept


def earlier_recipes(run: Path) -> dict[int, Path]:
    """Those, by the step until which each held, ascending."""
    found = {int(match[1]): path for path in run.iterdir() if (match := _EARLIER.fullmatch(path.name))}
    return {step: found[step] for step in sorted(found)}


def step_folder(sounds: Path, step: int) -> Path:
    return sounds / f"step_{step}"


def audio_sample_folders(sounds: Path) -> dict[int, Path]:
    """The folders of decoded clips by their step, ascending."""
    found = {int(match[1]): path for path in sounds.glob("step_*") if (match := _STEP.fullmatch(path.name))}
    return {step: found[step] for step in sorted(found)}


@contextmanager
def lock_run_folder(run: Path) -> Iterator[None]:
    """Hold the folder of a run for this process alone while the block runs. What a killed run left half-written is
    removed, and so is a new folder into which nothing was written.

    Raises:
        UserError: another process trains there (the message names it), or it cannot be written to.
    """
    new = not run.exists()
    try:
        with exclusive(run):
            for folder in (run, *(run / name for name in ("checkpoints", "model", SOUNDS_FOLDER))):
                for part in folder.glob("*.part"):
                    shutil.rmtree(part) if part.is_dir() else part.unlink()
            yield
    finally:
        if new and [path.name for path in run.glob("*")] == [EXCLUSIVE]:
            shutil.rmtree(run)
