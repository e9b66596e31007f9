"""What a comparison is: a short YAML file that differs from its neighbour only where the comparisons do."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from codec.config import Recipe
from codec.errors import UserError
from codec.recipe import find_recipe, override_words, read_recipe, read_settings
from eval.comparison.budget import Budget

FOLDER = "compare"


@dataclass(frozen=True)
class Candidate:
    """A codec that is trained: ours, or the networks of a peer."""

    architecture: Literal["ours", "encodec", "dac"] = "ours"
    width: int | Literal["match"] | None = None
    """Of a peer's first layer; default: as published. ``match``: so that it needs as many multiply-adds per second of
    audio as the first candidate."""
    quantizer: Literal["own", "ours"] = "own"
    """A peer's: its own, or ours with the recipe's settings."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Overrides of the recipe, such as ``optim.lr: 3e-4``."""
    seeds: list[int] | None = None
    """In place of the plan's."""


@dataclass(frozen=True)
class Plan:
    """A comparison; the first candidate is the one that all others are compared with."""

    title: str = ""
    recipe: str = "speech_16k"
    minutes: float = 0.0
    """Training of each candidate, validation not counted."""
    steps: int = 0
    """In place of minutes."""
    seeds: list[int] = field(default_factory=lambda: [0])
    kbps: list[float] = field(default_factory=lambda: [6.0, 3.0, 1.5])
    clips: int = 24
    """Validation clips that are judged, at most, spread over the groups."""
    validations: int = 10
    """Points of each curve."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Overrides of the recipe for every candidate."""
    candidates: dict[str, Candidate] = field(default_factory=dict)

    @property
    def budget(self) -> str:
        return str(Budget(self.minutes, self.steps))


@dataclass(frozen=True)
class Trial:
    """One training: a candidate with a seed. ``recipe`` is complete but for what depends on the expected steps."""

    candidate: str
    architecture: str
    width: int | Literal["match"]
    quantizer: str
    seed: int
    recipe: Recipe
    own_start: bool
    """Whether the settings say themselves when the discriminator starts."""

    @property
    def name(self) -> str:
        return f"{self.candidate}-seed{self.seed}"


def read_plan(
    name: str, *, minutes: float | None = None, steps: int | None = None, seeds: list[int] | None = None
) -> Plan:
    """The plan by name or path, with the budget or the seeds given in place of its own.

    Raises ``UserError`` with one line for whatever is wrong in it.
    """
    path = find_recipe(name, FOLDER)
    plan = read_settings(path, Plan())
    if minutes is not None or steps is not None:
        plan = replace(plan, minutes=minutes or 0.0, steps=steps or 0)
    if seeds is not None:
        own = {key: replace(entry, seeds=None) for key, entry in plan.candidates.items()}
        plan = replace(plan, seeds=seeds, candidates=own)
    if (plan.minutes > 0) == (plan.steps > 0) or min(plan.minutes, plan.steps) < 0:
        raise UserError(f"{path}: a budget is either minutes or steps, one of them above 0")
    if not plan.candidates:
        raise UserError(f"{path}: lists no candidates")
    for label, values in (("clips", [plan.clips]), ("validations", [plan.validations]), ("kbps", plan.kbps)):
        if not values or min(values) <= 0:
            raise UserError(f"{path}: {label} must be above 0")
    for key, entry in plan.candidates.items():
        where = f"{path}: candidate {key}"
        if not key or any(sign in key for sign in "/\\|") or key.startswith("."):
            raise UserError(f"{where}: the name becomes a folder; use letters, digits, blanks, - and _")
        if entry.architecture == "ours" and entry.width is not None:
            raise UserError(f"{where}: width is a peer's; for ours set codec.encoder.width and codec.decoder.width")
        if isinstance(entry.width, int) and entry.width < 1:
            raise UserError(f"{where}: width must be at least 1, not {entry.width}")
        if not (plan.seeds if entry.seeds is None else entry.seeds):
            raise UserError(f"{where}: has no seeds")
    return plan


def trials(plan: Plan, published: dict[str, int]) -> list[Trial]:
    """Every training of the plan, in its order; ``published``: the width of each peer."""
    found = []
    for key, entry in plan.candidates.items():
        settings = {**plan.settings, **entry.settings}
        base = read_recipe(plan.recipe, override_words(settings))
        width = published.get(entry.architecture, 0) if entry.width is None else entry.width
        started = "adversarial.start_step" in settings
        for seed in dict.fromkeys(plan.seeds if entry.seeds is None else entry.seeds):
            recipe = replace(base, train=replace(base.train, seed=seed, patience=0))
            found.append(Trial(key, entry.architecture, width, entry.quantizer, seed, recipe, started))
    return found


def within_budget(trial: Trial, plan: Plan, expected_steps: int) -> Recipe:
    """The trial's recipe for a run of about so many steps."""
    budget = Budget(plan.minutes, plan.steps)
    return budget.limit(trial.recipe, expected_steps, plan.validations, own_start=trial.own_start)


def identity(trial: Trial, plan: Plan, width: int, data: Path) -> dict[str, Any]:
    """What makes a run the one that the plan asks for: kept beside it, and compared when it goes on."""
    return {
        "architecture": trial.architecture,
        "width": width,
        "quantizer": trial.quantizer,
        "minutes": plan.minutes,
        "steps": plan.steps,
        "validations": plan.validations,
        "data": str(data.resolve()),
        "recipe": asdict(trial.recipe),
    }
