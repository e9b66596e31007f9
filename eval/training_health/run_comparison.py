"""Several runs beside each other: their recipes, their losses, and the quality of the clips that all have coded.

Runs with the same criterion (losses, validation clips and crops) have comparable losses. Runs that were evaluated on
the same clips can be compared by metrics, whatever their losses and sample rates.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codec.config import Recipe
from codec.errors import UserError
from codec.recipe import read_recipe, settings_of
from codec.runtime.json_files import from_json, read_json
from codec.training.metrics_log import METRICS_FILE, VALIDATION, Curve, comparable_curves, read_curves
from codec.training.run_folder import TrainingResult, read_result
from eval.evaluation.paired_evaluations import EvaluatedTogether, ScoredClips, compare_evaluations
from eval.training_health.examine import RunHealth, examine, kept_step

EVALUATIONS = ("evaluation", "validation")
"""Folders in which ``codec evaluate`` puts its results, of the test and of the validation split."""
RESULTS = "results.json"


@dataclass(frozen=True)
class ComparedRun:
    """A run of a comparison."""

    name: str
    """Shortest end of its path that differs from those of the others."""
    folder: Path
    recipe: Recipe
    curves: Mapping[tuple[str, str], Curve]
    """Those of the last criterion."""
    health: RunHealth
    result: TrainingResult | None
    """None while it trains."""
    best_step: int | None
    best_loss: float | None


def read_runs(folders: Sequence[Path]) -> list[ComparedRun]:
    """Read the runs of a comparison.

    Args:
        folders: their folders, at least two.

    Returns:
        The runs in this order.

    Raises:
        UserError: there are fewer than two, one occurs twice, or a folder holds no run.
    """
    if len({folder.resolve() for folder in folders}) < max(2, len(folders)):
        raise UserError("give two or more different runs to compare; codec health describes a single one")
    names = _short_names(folders)
    return [_read_run(folder, name) for folder, name in zip(folders, names)]


def is_run(folder: Path) -> bool:
    """Determine whether a folder is that of a training run.

    Args:
        folder: any folder.

    Returns:
        Whether it has a recipe and a table of metrics.
    """
    return (folder / METRICS_FILE).is_file() and (folder / "recipe.yaml").is_file()


def _short_names(folders: Sequence[Path]) -> list[str]:
    parts = [folder.resolve().parts for folder in folders]
    longest = max(len(each) for each in parts)
    count = next((n for n in range(1, longest + 1) if len({each[-n:] for each in parts}) == len(parts)), longest)
    return ["/".join(each[-count:]) for each in parts]


def _read_run(folder: Path, name: str) -> ComparedRun:
    health, result = examine(folder), read_result(folder)
    curves = comparable_curves(read_curves(folder))
    validation, step = curves.get((VALIDATION, "total")), kept_step(folder, result)
    loss = None
    if validation is not None and step in validation.steps:
        loss = validation.values[validation.steps.index(step)]
    return ComparedRun(name, folder, read_recipe(str(folder / "recipe.yaml")), curves, health, result, step, loss)


def recipe_differences(runs: Sequence[ComparedRun]) -> list[tuple[str, list[str]]]:
    """List the settings in which the recipes differ.

    Args:
        runs: the runs.

    Returns:
        Name of each setting and its value in each recipe, in the order of the recipe.
    """
    settings = [{name: json.dumps(value) for name, value in settings_of(run.recipe)} for run in runs]
    names = dict.fromkeys(name for each in settings for name in each)
    rows = [(name, [each.get(name, "–") for each in settings]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def losses_are_comparable(runs: Sequence[ComparedRun]) -> bool:
    """Decide whether the losses of all runs are sums of the same terms on the same crops.

    Args:
        runs: the runs.

    Returns:
        False also if the data of a run is not known.
    """
    data = {run.result.data if run.result else "" for run in runs}
    criteria = {
        json.dumps([run.recipe.losses, run.recipe.codec.sample_rate, run.recipe.codec.hop, run.recipe.data.crop_s])
        for run in runs
    }
    return len(data) == 1 and data != {""} and len(criteria) == 1


def compare_evaluated_runs(runs: Sequence[ComparedRun]) -> EvaluatedTogether | None:
    """Compare each run with the first one on the clips that all were evaluated on.

    Clips are the same if their samples are, so runs at several sample rates share them.

    Args:
        runs: the runs.

    Returns:
        The differences, on the test split if all runs have been evaluated on it, else on the validation split; None if
        there is no split that all were evaluated on, or no clip.

    Raises:
        UserError: results cannot be read.
    """
    for place in EVALUATIONS:
        paths = [run.folder / place / RESULTS for run in runs]
        if all(path.is_file() for path in paths):
            found = compare_evaluations({run.name: _read_evaluation(path) for run, path in zip(runs, paths)})
            if found is not None:
                return found
    return None


def _read_evaluation(path: Path) -> ScoredClips:
    try:
        return from_json(ScoredClips, read_json(path))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}); repeat the evaluation with this version") from error
