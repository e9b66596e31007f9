"""The folder of a run: its files that are read without training, and its lock."""

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from codec.runtime.atomic_files import write_text
from codec.runtime.file_lock import LOCK_FILE, exclusive
from codec.runtime.json_files import from_json, read_json

RESULT_FILE = "run.json"
SOUNDS_FOLDER = "sounds"
"""Folder of the audio samples."""
ORIGINAL_FOLDER = "original"
"""Folder of the original clips among the audio samples."""
_STEP_FOLDER, _EARLIER_RECIPE = re.compile(r"step_(\d+)"), re.compile(r"recipe-until-step-(\d+)\.yaml")


@dataclass(frozen=True)
class TrainingResult:
    """Result of a run; its fields are the keys of ``run.json``."""

    steps: int
    """Training steps, over all resumptions."""
    stopped: str
    """Reason: all steps done, the clock (time limit), early stopping, or a collapsed codebook."""
    best_step: int
    """Step of the saved model."""
    best_validation_loss: float
    minutes: float
    """Minutes of training, without validations."""
    data: str = ""
    """Fingerprints of the training and validation clips; empty in runs of versions that did not record them."""

    def write(self, run: Path) -> None:
        """Write the result into the folder of a run.

        Args:
            run: folder of the run
        """
        write_text(run / RESULT_FILE, json.dumps(asdict(self), indent=1) + "\n")


def read_result(run: Path) -> TrainingResult | None:
    """Read the result of a run.

    Args:
        run: folder of the run

    Returns:
        The result; None if the run has not ended, or the file is damaged.
    """
    try:
        return from_json(TrainingResult, read_json(run / RESULT_FILE))
    except (OSError, ValueError):
        return None


def keep_recipe(run: Path, step: int) -> Path:
    """Save a copy of a run's recipe before it is resumed with other settings.

    Args:
        run: folder of the run
        step: step that the run continues from

    Returns:
        The copy.
    """
    copy = run / f"recipe-until-step-{step}.yaml"
    if not copy.exists():
        write_text(copy, (run / "recipe.yaml").read_text(encoding="utf-8"))
    return copy


def earlier_recipes(run: Path) -> dict[int, Path]:
    """Find the copies of earlier recipes.

    Args:
        run: folder of the run

    Returns:
        The copies by the step until which each was used, ascending.
    """
    found = {int(match[1]): path for path in run.iterdir() if (match := _EARLIER_RECIPE.fullmatch(path.name))}
    return {step: found[step] for step in sorted(found)}


def audio_sample_folder(sounds: Path, step: int) -> Path:
    """Return the folder of the audio samples of one validation.

    Args:
        sounds: folder of all audio samples of a run
        step: step of the validation

    Returns:
        The folder, whether it exists or not.
    """
    return sounds / f"step_{step}"


def audio_sample_folders(sounds: Path) -> dict[int, Path]:
    """Find the folders of audio samples.

    Args:
        sounds: folder of all audio samples of a run

    Returns:
        The folders by their step, ascending.
    """
    found = {int(match[1]): path for path in sounds.glob("step_*") if (match := _STEP_FOLDER.fullmatch(path.name))}
    return {step: found[step] for step in sorted(found)}


@contextmanager
def lock_run_folder(run: Path) -> Iterator[None]:
    """Reserve the folder of a run for this process while the block runs.

    Incomplete files of a killed run are removed, and so is a new folder that remained empty.

    Args:
        run: folder of the run; it is created if it does not exist

    Yields:
        Nothing.

    Raises:
        UserError: another process uses the folder (the message names it), or it cannot be written to.
    """
    new = not run.exists()
    with exclusive(run):
        try:
            for folder in (run, *(run / name for name in ("checkpoints", "model", SOUNDS_FOLDER))):
                for part in folder.glob("*.part"):
                    shutil.rmtree(part) if part.is_dir() else part.unlink()
            yield
        finally:  # while the folder is locked: another process may have made it at the same time
            if new and [path.name for path in run.glob("*")] == [LOCK_FILE]:
                shutil.rmtree(run)
