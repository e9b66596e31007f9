"""The plan of a comparison: a short YAML file, whose keys are the fields of :class:`ComparisonPlan`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from codec.config import Recipe
from codec.dataset.location import DataLocation, absolute_location
from codec.errors import UserError
from codec.recipe import find_recipe, override_words, read_recipe, read_settings
from eval.comparison.budget import Budget

_FOLDER = "compare"


@dataclass(frozen=True)
class CandidatePlan:
    """A codec that is trained: ours, or the networks of a peer."""

    architecture: Literal["ours", "encodec", "dac"] = "ours"
    width: int | Literal["match"] | None = None
    """Width of a peer's first layer; None: as published; ``match``: the width at which it needs as many multiply-adds
    per second of audio as the first candidate."""
    quantizer: Literal["own", "ours"] = "own"
    """Quantizer of a peer: its own, or ours with the recipe's settings."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Overrides of the recipe, such as ``optim.lr: 3e-4``."""
    seeds: list[int] | None = None
    """Instead of the plan's seeds."""


@dataclass(frozen=True)
class ComparisonPlan:
    """The plan of a comparison. All other candidates are compared with the first."""

    title: str = ""
    recipe: str = "speech_16k"
    minutes: float = 0.0
    """Training of each candidate, without validations."""
    steps: int = 0
    """Training of each candidate, instead of minutes."""
    seeds: list[int] = field(default_factory=lambda: [0])
    kbps: list[float] = field(default_factory=lambda: [6.0, 3.0, 1.5])
    clips: int = 24
    """Maximum number of validation clips that are scored, spread over the groups."""
    validations: int = 10
    """Number of validations in a run, the points of its curve."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Overrides of the recipe for every candidate."""
    candidates: dict[str, CandidatePlan] = field(default_factory=dict)

    @property
    def budget(self) -> Budget:
        """Training budget of each candidate."""
        return Budget(self.minutes, self.steps)


@dataclass(frozen=True)
class PlanOverrides:
    """Changes of a plan by options of a command.

    Args:
        minutes: training of each candidate in minutes; None: as planned.
        steps: training of each candidate in steps; None: as planned.
        seeds: seeds of every candidate; None: as planned.
        only: names of the candidates to train; empty: all.
    """

    minutes: float | None = None
    steps: int | None = None
    seeds: list[int] | None = None
    only: list[str] = field(default_factory=list)

    def apply(self, plan: ComparisonPlan) -> ComparisonPlan:
        """Change a plan.

        Args:
            plan: plan as it was read.

        Returns:
            The plan with the given budget and seeds.
        """
        if self.minutes is not None or self.steps is not None:
            plan = replace(plan, minutes=self.minutes or 0.0, steps=self.steps or 0)
        if self.seeds is not None:
            without = {key: replace(candidate, seeds=None) for key, candidate in plan.candidates.items()}
            plan = replace(plan, seeds=self.seeds, candidates=without)
        return plan

    def words(self) -> list[str]:
        """Return the options of ``codec compare`` that make these changes.

        Returns:
            Words of a command.

        >>> PlanOverrides(steps=100, only=["ours"]).words()
        ['--steps', '100', '--only', 'ours']
        """
        found = [] if self.minutes is None else ["--minutes", f"{self.minutes:g}"]
        found += [] if self.steps is None else ["--steps", str(self.steps)]
        found += [] if self.seeds is None else ["--seeds", *map(str, self.seeds)]
        return found + (["--only", *self.only] if self.only else [])


@dataclass(frozen=True)
class PlannedRun:
    """A training: a candidate with a seed."""

    candidate: str
    architecture: str
    width: int | Literal["match"]
    quantizer: str
    seed: int
    recipe: Recipe
    """Complete except for what depends on the expected number of steps."""
    own_start: bool
    """True if the settings include the start of the discriminator."""

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return f"{self.candidate}-seed{self.seed}"


def read_comparison_plan(name: str, overrides: PlanOverrides | None = None) -> ComparisonPlan:
    """Read and check a plan.

    Args:
        name: name of a plan, or path of a YAML file.
        overrides: changes to the plan.

    Returns:
        The changed plan.

    Raises:
        UserError: something in the plan is wrong; the message is one line.
    """
    path = find_recipe(name, _FOLDER)
    plan = (overrides or PlanOverrides()).apply(read_settings(path, ComparisonPlan()))
    if (plan.minutes > 0) == (plan.steps > 0) or min(plan.minutes, plan.steps) < 0:
        raise UserError(f"{path}: set either minutes or steps above 0, not both")
    if not plan.candidates:
        raise UserError(f"{path}: candidates is empty; list at least one")
    for label, values in (("clips", [plan.clips]), ("validations", [plan.validations]), ("kbps", plan.kbps)):
        if not values or min(values) <= 0:
            raise UserError(f"{path}: {label} must be above 0")
    for key, candidate in plan.candidates.items():
        _check_candidate(f"{path}: candidate {key}", key, candidate, plan)
    return plan


def _check_candidate(where: str, key: str, candidate: CandidatePlan, plan: ComparisonPlan) -> None:
    if not key or any(sign in key for sign in "/\\|") or key.startswith("."):
        raise UserError(f"{where}: the name becomes a folder; use letters, digits, blanks, - and _")
    if candidate.architecture == "ours" and candidate.width is not None:
        raise UserError(f"{where}: width is for peers; for ours set codec.encoder.width and codec.decoder.width")
    if isinstance(candidate.width, int) and candidate.width < 1:
        raise UserError(f"{where}: width must be at least 1, not {candidate.width}")
    if not _get_seeds(plan, candidate):
        raise UserError(f"{where}: seeds must list at least one seed")


def _get_seeds(plan: ComparisonPlan, candidate: CandidatePlan) -> list[int]:
    return plan.seeds if candidate.seeds is None else candidate.seeds


def plan_runs(plan: ComparisonPlan, published_widths: Mapping[str, int]) -> list[PlannedRun]:
    """List every training of a plan.

    Args:
        plan: plan of the comparison.
        published_widths: architecture of a peer to its published width.

    Returns:
        The runs in the order of the plan, one for each candidate and seed.

    Raises:
        UserError: the settings of a candidate make no recipe.
    """
    found = []
    for key, candidate in plan.candidates.items():
        settings = {**plan.settings, **candidate.settings}
        base = read_recipe(plan.recipe, override_words(settings))
        width = published_widths.get(candidate.architecture, 0) if candidate.width is None else candidate.width
        own_start = "adversarial.start_step" in settings
        for seed in dict.fromkeys(_get_seeds(plan, candidate)):
            recipe = replace(base, train=replace(base.train, seed=seed, patience=0))
            found.append(PlannedRun(key, candidate.architecture, width, candidate.quantizer, seed, recipe, own_start))
    return found


def limit_to_budget(run: PlannedRun, plan: ComparisonPlan, expected_steps: int) -> Recipe:
    """Return the recipe of a run with the plan's budget.

    Args:
        run: run to train.
        plan: plan of the comparison.
        expected_steps: about how many steps the budget allows.

    Returns:
        The recipe.
    """
    return plan.budget.limit_recipe(run.recipe, expected_steps, plan.validations, own_start=run.own_start)


def describe_run(run: PlannedRun, plan: ComparisonPlan, width: int, data: DataLocation) -> dict[str, Any]:
    """Describe what makes a run the one that the plan asks for.

    Args:
        run: run to train.
        plan: plan of the comparison.
        width: width of a peer's first layer.
        data: prepared data.

    Returns:
        Values for JSON. They are stored in the run's folder and compared when the command is repeated.
    """
    return {
        "architecture": run.architecture,
        "width": width,
        "quantizer": run.quantizer,
        "minutes": plan.minutes,
        "steps": plan.steps,
        "validations": plan.validations,
        "data": absolute_location(data),
        "recipe": asdict(run.recipe),
    }
