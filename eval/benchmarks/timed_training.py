"""A training for a given time, which the next one in the same folder continues."""

from dataclasses import replace
from pathlib import Path

from codec.config import Recipe
from codec.recipe import read_recipe
from codec.training.checkpointing import CHECKPOINT_FOLDER, LAST_CHECKPOINT, read_checkpoint
from codec.training.run_folder import TrainingResult
from codec.training.trainer import TrainingOptions, train


def train_for(seconds: float, recipe: Recipe, data: Path, run: Path) -> TrainingResult:
    """Train, or continue a training, for some time.

    Args:
        seconds: time for training steps
        recipe: settings of a new run. A run that is continued keeps its own.
        data: prepared data
        run: folder of the run

    Returns:
        How the run ended; steps and minutes are those of all calls.

    Raises:
        UserError: as :func:`codec.training.trainer.train`.
    """
    last, used_s = run / CHECKPOINT_FOLDER / LAST_CHECKPOINT, 0.0
    if last.is_file():
        recipe = read_recipe(str(run / "recipe.yaml"))
        used_s = read_checkpoint(last, run)["callbacks"]["time_limit"]["elapsed_s"]
    timed = replace(recipe, train=replace(recipe.train, max_minutes=(used_s + seconds) / 60))
    return train(timed, data, run, options=TrainingOptions(fit_tables=False, keep_audio_samples=False))
