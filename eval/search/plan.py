"""What a search is: a short YAML file, as comparisons are."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

from codec.bitstream.framing import PACKET_S
from codec.config import Recipe
from codec.errors import UserError
from codec.model.streaming import BLOCK
from codec.pretrained.checkpoint import load_codec
from codec.pretrained.registry import find_model
from codec.recipe import find_recipe, override_words, read_recipe, read_settings
from eval.comparison.budget import Budget
from eval.metrics.registry import METRICS
from eval.search.space import Setting, Settings

FOLDER = "search"
LARGEST_POPULATION = 12
"""With more, the few candidates that can be afforded are few generations."""


@dataclass(frozen=True)
class Constraints:
    """What a candidate must keep to; 0: anything. All of it is known before training, which is saved where it would be
    for nothing."""

    latency_ms: float = 0.0
    parameters: int = 0
    memory_mb: float = 0.0
    """Peak of a process that codes and decodes a minute."""


@dataclass(frozen=True)
class Use:
    """How a trained model is used; what an operating search may vary."""

    codebooks: int
    """Codes per frame, at most."""
    kbps: float = 0.0
    """What rate control keeps to, channels together; 0: each frame has all its codes."""
    entropy: str = "contexts"
    """``contexts``: the model's tables; ``order 0``: one table per codebook; ``none``: codes of fixed width, each frame
    in a packet of its own, as in live streams."""
    precision: str = "float32"
    """Of the decoder; or ``bfloat16``, ``float16``. Codes are computed in float32."""
    runtime: str = "eager"
    """Or ``compiled``: by ``torch.compile``, which needs a C++ compiler; or ``onnx``: ONNX Runtime."""
    threads: int = 1
    block: int = BLOCK
    """Latent frames that are waited for and computed at once."""
    packet_s: float = PACKET_S
    """Seconds per packet: contexts end with a packet, and each has a checksum."""


@dataclass(frozen=True)
class SearchPlan:
    """``design``: recipes are trained. ``operating``: one trained model is used in different ways."""

    title: str = ""
    kind: Literal["design", "operating"] = "design"
    recipe: str = "speech_16k"
    """Where a design search starts: its first candidate, and the reference of all speeds."""
    model: str = ""
    """Of an operating search: a built-in model, or the folder of a run."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Overrides of the recipe for every candidate."""
    space: dict[str, Setting] = field(default_factory=dict)
    starts: list[dict[str, Any]] = field(default_factory=list)
    """More settings that are known to be good: they are tried first."""
    minutes: float = 0.0
    """Of training on the first rung, validation not counted."""
    steps: int = 0
    """In place of minutes."""
    rungs: int = 1
    factor: int = 3
    """Of the candidates on a rung this share, 1 / factor, goes on to the next, for so many times the training."""
    candidates: int = 30
    """Of each arm: genetic search, and random search beside it."""
    population: int = 10
    seed: int = 0
    """Of what is drawn."""
    seeds: list[int] = field(default_factory=lambda: [0])
    """Of the training. The first is for all candidates; those on the last rung's front are trained with each."""
    metric: str = "mel"
    clips: int = 24
    """Validation clips that are judged, at most, spread over the groups."""
    constraints: Constraints = field(default_factory=Constraints)

    def budget(self, rung: int) -> Budget:
        """Of the whole training up to the end of this rung."""
        longer = self.factor**rung
        return Budget(self.minutes * longer, self.steps * longer)

    @property
    def last_rung(self) -> int:
        return self.rungs - 1

    @property
    def default(self) -> dict[str, Any]:
        """The hand-written settings, where the search starts."""
        if self.kind == "operating":
            use = Use(load_codec(find_model(self.model)).config.quantizer.codebooks)
            return {name: getattr(use, name) for name in self.space}
        recipe = self.recipe_with({})
        return {name: _value(recipe, name) for name in self.space}

    def recipe_with(self, settings: Settings) -> Recipe:
        """The recipe of a candidate, but for the budget. Raises ``UserError`` where the settings do not fit."""
        return read_recipe(self.recipe, override_words({**self.settings, **settings}))


def read_search_plan(name: str) -> SearchPlan:
    """The plan by name or path. Raises ``UserError`` with one line for whatever is wrong in it."""
    path = find_recipe(name, FOLDER)
    plan = read_settings(path, SearchPlan())
    if not plan.space:
        raise UserError(f"{path}: the space is empty; name a setting with choices, or with low and high")
    for key, setting in plan.space.items():
        setting.check(f"{path}: space: {key}")
    for label in ("rungs", "candidates", "clips"):
        if getattr(plan, label) < 1:
            raise UserError(f"{path}: {label} must be at least 1, not {getattr(plan, label)}")
    if not 2 <= plan.population <= LARGEST_POPULATION:
        raise UserError(f"{path}: population must be 2 to {LARGEST_POPULATION}, not {plan.population}")
    if plan.factor < 2:
        raise UserError(f"{path}: factor must be at least 2, not {plan.factor}")
    if plan.metric not in (names := [entry.name for entry in METRICS]):
        raise UserError(f"{path}: no metric called {plan.metric!r}; there are {', '.join(names)}")
    if not plan.seeds or len(set(plan.seeds)) < len(plan.seeds):
        raise UserError(f"{path}: seeds must be different ones, at least one")
    _check_design(plan, path) if plan.kind == "design" else _check_operating(plan, path)
    default = plan.default
    for key, setting in plan.space.items():
        if not setting.holds(default[key]):
            origin = "its value in the recipe" if plan.kind == "design" else "its default when a model is used"
            raise UserError(f"{path}: space: {key} must hold {default[key]}, where the search starts: {origin}")
    return replace(plan, starts=_whole_starts(plan, path, default))


def _check_design(plan: SearchPlan, path: Path) -> None:
    if (plan.minutes > 0) == (plan.steps > 0) or min(plan.minutes, plan.steps) < 0:
        raise UserError(f"{path}: a budget is either minutes or steps, one of them above 0")
    for key in plan.space:
        if key in plan.settings:
            raise UserError(f"{path}: {key} is both a setting of every candidate and in the space")
        if key.startswith("train."):
            raise UserError(f"{path}: space: {key}: how long and how candidates are trained is the same for all")


def _check_operating(plan: SearchPlan, path: Path) -> None:
    names = [field.name for field in fields(Use)]
    if unknown := [key for key in plan.space if key not in names]:
        raise UserError(f"{path}: space: no setting called {unknown[0]!r}; there are {', '.join(names)}")
    if plan.minutes or plan.steps or plan.settings or plan.rungs > 1 or len(plan.seeds) > 1:
        raise UserError(f"{path}: nothing is trained: minutes, steps, settings, rungs and seeds are for designs")


def _whole_starts(plan: SearchPlan, path: Path, default: Settings) -> list[dict[str, Any]]:
    for start in plan.starts:
        for key, value in start.items():
            if key not in plan.space or not plan.space[key].holds(value):
                raise UserError(f"{path}: starts: {key}: {value} is not in the space")
    return [dict(default), *({**default, **start} for start in plan.starts)]


def _value(recipe: Recipe, name: str) -> Any:
    """Of a setting by its dotted name; a loss that the recipe does not have has weight 0."""
    value: Any = recipe
    for part in name.split("."):
        if isinstance(value, dict):
            value = value.get(part, 0.0)
        elif is_dataclass(value) and part in {field.name for field in fields(value)}:
            value = getattr(value, part)
        else:
            raise UserError(f"space: no setting called {name!r} in a recipe")
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
