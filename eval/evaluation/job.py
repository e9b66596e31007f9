"""The job of an evaluation: its options, the models, and the results that each phase passes to the next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from codec.config import Recipe
from codec.dataset.clips import Clip
from codec.dataset.ledger import LedgerEntry
from codec.dataset.location import DataLocation
from codec.dataset.packed_split import PackedSplit
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import load_codec
from codec.pretrained.registry import model_name
from codec.recipe import read_recipe
from codec.runtime.command import command_line
from codec.runtime.process_pool import Workers
from eval.evaluation.output_folder import (
    OPEN_AGAIN,
)
from eval.evaluation.results import ClipResult, ModelSummary
from eval.systems.baselines import (
    CodedSystem,
    ReferenceSystems,
    name_models,
)
from eval.systems.external_decodes import ExternalDecode
from eval.systems.operating_point import OperatingPoint
from eval.systems.own import CodedClip

FOLDERS = {"test": "evaluation", "val": "validation"}
"""Split to the folder of its report in the folder of the run."""
NO_REFERENCES = ReferenceSystems()


@dataclass(frozen=True)
class EvaluationOptions:
    """Options of an evaluation."""

    out: Path | None = None
    """Folder of the report; None: ``RUN/evaluation``, or ``RUN/validation``."""
    points: Sequence[OperatingPoint] = ()
    """Operating points; the report is about the first. None: with all codebooks."""
    references: ReferenceSystems = NO_REFERENCES
    """Other systems that are evaluated on the same clips, in the same opening of the test split."""
    split: Literal["test", "val"] = "test"
    """With ``val``, the report is about the half of the groups not used for model selection, with the gap to the other
    half."""
    again: bool = False
    """Open the test split for models other than those that it was opened for before."""
    demonstration: bool = False
    """Record the opening of the test split as a demonstration, even if it was opened before for other models."""
    max_clips: int | None = None
    """Evaluate no more clips than this, spread over the groups."""
    workers: Workers = 2
    """Number of processes that compute scores, or a cluster."""
    force: bool = False
    """Replace the results of another command in ``out``; those of the same command are replaced anyway."""


@dataclass(frozen=True)
class EvaluationJob:
    """An evaluation whose options are checked."""

    run: Path
    data: DataLocation
    out: Path
    options: EvaluationOptions
    points: Sequence[OperatingPoint]
    models: Mapping[str, Codec]
    """Name to model; the report is about the first."""
    recipe: Recipe
    command: str

    @property
    def name(self) -> str:
        """Name of the model that the report is about."""
        return next(iter(self.models))

    @property
    def codec(self) -> Codec:
        """The model that the report is about."""
        return self.models[self.name]

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz."""
        return self.codec.config.sample_rate

    @property
    def channels(self) -> int:
        """Number of channels of the packed clips."""
        return self.recipe.data.channels


def prepare_evaluation(run: Path, data: DataLocation, options: EvaluationOptions) -> EvaluationJob:
    """Load the models and check the options.

    Args:
        run: folder of the run that the report is about.
        data: folder that ``codec prepare`` wrote.
        options: options of the evaluation.

    Returns:
        The job.

    Raises:
        UserError: there is no run, or no model or recipe in it; an option is wrong.
    """
    out = Path(options.out) if options.out else run / FOLDERS[options.split]
    codec = load_codec(run)
    if not (run / "recipe.yaml").is_file():
        raise UserError(f"{run}: no recipe.yaml; give the folder that codec train wrote")
    recipe = read_recipe(str(run / "recipe.yaml"))
    models = name_models(run, codec, options.references)
    points = options.points or (OperatingPoint(),)
    for model in models.values():
        for point in points:
            point.check(model)
    options.references.check()
    if options.again and options.split != "test":
        raise UserError("--open-test-again applies to the test split, which stays closed here")
    if options.max_clips is not None and options.max_clips < 1:
        raise UserError(f"at least 1 clip must be evaluated, not {options.max_clips}")
    return EvaluationJob(run, data, out, options, points, models, recipe, _command(run, data, out, points, options))


def _command(
    run: Path, data: DataLocation, out: Path, points: Sequence[OperatingPoint], options: EvaluationOptions
) -> str:
    """Return the command that repeats the evaluation: the options that change its results, always in this order, so
    that commands can be compared.
    """
    words = ["codec", "evaluate", model_name(run), "--data", str(data)]
    words += ["--out", str(out)] if out != run / FOLDERS[options.split] else []
    words += ["--split", options.split] if options.split != "test" else []
    dtypes = list(dict.fromkeys(point.dtype for point in points))
    first = [point for point in points if point.dtype == dtypes[0]]
    for option, values in (
        ("--kbps", [f"{point.kbps:g}" for point in first if point.kbps is not None]),
        ("--codebooks", [str(point.codebooks) for point in first if point.codebooks is not None]),
        ("--dtype", dtypes[1:]),
    ):
        words += [option, *values] if values else []
    words += options.references.words()
    words += ["--clips", str(options.max_clips)] if options.max_clips is not None else []
    return command_line(*words) + (OPEN_AGAIN if options.again else "")


@dataclass(frozen=True)
class SelectedClips:
    """The clips of an evaluation, before any audio is read."""

    listed: Sequence[Clip]
    """All clips of the split."""
    reporting: list[int]
    """Indices of the clips that the report is about."""
    selecting: list[int]
    """Indices of the clips of the validation groups for model selection."""
    transcribed: frozenset[str]
    """Identifiers of the clips whose word error rate is measured."""
    external: Mapping[str, Sequence[ExternalDecode]]
    """Name of another codec to its decoded files of the reporting clips."""
    trained: ModelSummary


@dataclass(frozen=True)
class OpenedSplit:
    """The opened split, whose audio can be read."""

    split: PackedSplit
    openings: list[LedgerEntry]
    """Openings of the test split before this one."""
    key: str | None
    """Key of this opening in the ledger; None on validation."""


@dataclass(frozen=True)
class CodedSystems:
    """The clips coded by every system."""

    reporting: list[CodedClip]
    selecting: list[CodedClip]
    """Clips for model selection, coded only by the model at its first operating point."""
    others: list[CodedSystem]
    """The reporting clips, coded by the other systems."""
    bounds: list[CodedSystem]
    """The reporting clips at the bounds of the model, see :mod:`eval.systems.bounds`."""
    absent: dict[str, str]
    """System that could not code the clips, to the reason."""


@dataclass(frozen=True)
class ScoredSystems:
    """The results of the clips, in the order of :class:`CodedSystems`."""

    reporting: list[ClipResult]
    selecting: list[ClipResult]
    others: list[list[ClipResult]]
    bounds: list[list[ClipResult]]
