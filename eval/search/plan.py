"""The plan of a search: a short YAML file, whose keys are the fields of :class:`SearchPlan`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

from codec.bitstream.framing import PACKET_S
from codec.config import Recipe
from codec.errors import UserError
from codec.pretrained.checkpoint import load_codec
from codec.pretrained.registry import find_model
from codec.recipe import find_recipe, override_words, read_recipe, read_settings
from eval.comparison.budget import Budget
from eval.metrics.registry import METRICS
from eval.search.space import CandidateSettings, Dimension, describe_settings, single_settings

_FOLDER = "search"
SEARCHED_OF_TRAINING = ("train.unquantized_share",)
"""The settings of the section ``train`` that may be searched; budget, seeds and validations belong to the plan."""
LARGEST_POPULATION = 12
"""In a larger population, the few candidates that can be afforded make up too few generations."""


@dataclass(frozen=True)
class Constraints:
    """Limits that a candidate must meet; 0: none. They are checked before training, so that none is wasted."""

    latency_ms: float = 0.0
    parameters: int = 0
    memory_mb: float = 0.0
    """Peak memory of a process that codes a minute of audio."""


@dataclass(frozen=True)
class OperatingSettings:
    """Settings of the use of a trained model, which a search of operating points may vary.

    ``codec encode`` and ``codec decode`` have each of them (:mod:`codec.cli.picked_settings`).
    """

    codebooks: int
    """Maximum number of codes per frame."""
    kbps: float = 0.0
    """Target of rate control over all channels; 0: each frame has all codes."""
    entropy: str = "contexts"
    """Entropy coding. ``contexts``: the model's tables, as in files; ``none``: codes of fixed width and one frame per
    packet, as in live streams."""
    precision: str = "float32"
    """Numbers that the decoder computes with, see :data:`codec.model.decoder_dtypes.DTYPES`. Codes are always computed
    in float32."""
    runtime: str = "eager"
    """``eager``: PyTorch; ``onnx``: ONNX Runtime."""
    threads: int = 1
    packet_s: float = PACKET_S
    """Seconds per packet. Contexts do not reach across packets, and each packet has a checksum."""


@dataclass(frozen=True)
class SearchPlan:
    """The plan of a search: of recipes to train (``design``), or of ways to use a trained model (``operating``)."""

    title: str = ""
    kind: Literal["design", "operating"] = "design"
    recipe: str = "speech_16k"
    """Start of a search of recipes: its first candidate, and the reference of all speeds."""
    model: str = ""
    """Model of a search of operating points: name of a built-in model, or folder of a run."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Overrides of the recipe for every candidate."""
    space: dict[str, Dimension] = field(default_factory=dict)
    starts: list[dict[str, Any]] = field(default_factory=list)
    """Further settings that are known to be good, which are tried first."""
    minutes: float = 0.0
    """Training on the first rung, without validation."""
    steps: int = 0
    """Training on the first rung, instead of minutes."""
    rungs: int = 1
    factor: int = 3
    """Reduction factor: the best 1 / factor of the candidates on a rung go on to the next, with factor times the
    training."""
    candidates: int = 30
    """Number of candidates of each sampler: NSGA-II and random search."""
    population: int = 10
    seed: int = 0
    """Seed of the samplers."""
    seeds: list[int] = field(default_factory=lambda: [0])
    """Seeds of the training. All candidates are trained with the first seed, the front of the last rung with each."""
    metric: str = "mel"
    clips: int = 24
    """Maximum number of validation clips, spread over the groups."""
    constraints: Constraints = field(default_factory=Constraints)

    def describe(self, settings: CandidateSettings) -> str:
        """Describe a candidate by the settings in which it differs from the default.

        Args:
            settings: settings of the candidate.

        Returns:
            A name, such as "6 kbit/s, 12 codebooks"; of the default, "default".
        """
        return describe_settings(settings, self.starts[0]) or "default"

    def budget(self, rung: int) -> Budget:
        """Return the total training budget up to the end of a rung.

        Args:
            rung: number of the rung, from 0.

        Returns:
            Minutes or steps.

        >>> [str(SearchPlan(minutes=0.5, factor=3).budget(rung)) for rung in range(3)]
        ['0.5 minutes', '1.5 minutes', '4.5 minutes']
        """
        longer = self.factor**rung
        return Budget(self.minutes * longer, self.steps * longer)

    @property
    def last_rung(self) -> int:
        """Number of the last rung, from 0."""
        return self.rungs - 1

    @property
    def default(self) -> dict[str, Any]:
        """The hand-written values of all settings in the space, where the search starts."""
        if self.kind == "operating":
            usual = OperatingSettings(load_codec(find_model(self.model)).config.quantizer.codebooks)
            return {name: getattr(usual, name) for name in self.space}
        recipe = self.recipe_with({})
        return {
            name: {each: _get_setting(recipe, each) for each in dimension.names} or _get_setting(recipe, name)
            for name, dimension in self.space.items()
        }

    def recipe_with(self, settings: CandidateSettings) -> Recipe:
        """Return the recipe of a candidate, apart from its budget.

        Args:
            settings: settings of the candidate.

        Returns:
            The plan's recipe with the plan's settings and these.

        Raises:
            UserError: the settings do not fit together.
        """
        return read_recipe(self.recipe, override_words({**self.settings, **single_settings(settings)}))


def read_search_plan(name: str) -> SearchPlan:
    """Read and check a plan.

    Args:
        name: name of a plan, or path of a YAML file.

    Returns:
        The plan, whose ``starts`` begin with the default and have a value for every setting in the space.

    Raises:
        UserError: something in the plan is wrong; the message is one line.
    """
    path = find_recipe(name, _FOLDER)
    plan = read_settings(path, SearchPlan())
    if not plan.space:
        raise UserError(f"{path}: space is empty; name a setting with choices, or with low and high")
    for key, dimension in plan.space.items():
        dimension.check(f"{path}: space: {key}")
    _check_numbers(plan, path)
    _check_recipe_plan(plan, path) if plan.kind == "design" else _check_operating_plan(plan, path)
    default = plan.default
    for key, dimension in plan.space.items():
        if not dimension.contains(default[key]):
            origin = "its value in the recipe" if plan.kind == "design" else "its usual value"
            raise UserError(f"{path}: space: {key} must contain {default[key]}, {origin}, from which the search starts")
    return replace(plan, starts=_complete_starts(plan, path, default))


def _check_numbers(plan: SearchPlan, path: Path) -> None:
    for label in ("rungs", "candidates", "clips"):
        if getattr(plan, label) < 1:
            raise UserError(f"{path}: {label} must be at least 1, not {getattr(plan, label)}")
    if not 2 <= plan.population <= LARGEST_POPULATION:
        raise UserError(f"{path}: population must be from 2 to {LARGEST_POPULATION}, not {plan.population}")
    if plan.factor < 2:
        raise UserError(f"{path}: factor must be at least 2, not {plan.factor}")
    if plan.metric not in (names := [entry.name for entry in METRICS]):
        raise UserError(f"{path}: there is no metric {plan.metric!r}; choose one of {', '.join(names)}")
    if not plan.seeds or len(set(plan.seeds)) < len(plan.seeds):
        raise UserError(f"{path}: seeds must list at least one seed, and none twice")


def _check_recipe_plan(plan: SearchPlan, path: Path) -> None:
    if (plan.minutes > 0) == (plan.steps > 0) or min(plan.minutes, plan.steps) < 0:
        raise UserError(f"{path}: set either minutes or steps above 0, not both")
    searched = [name for key, dimension in plan.space.items() for name in (dimension.names or [key])]
    for name in searched:
        if name in plan.settings:
            raise UserError(f"{path}: {name} is both in settings and in space; remove one of them")
        if searched.count(name) > 1:
            raise UserError(f"{path}: {name} is in space twice; remove one of them")
        if name.startswith("train.") and name not in SEARCHED_OF_TRAINING:
            raise UserError(
                f"{path}: space: {name} cannot be searched, since all candidates are trained for as long and validated"
                f" the same way; of train, only {', '.join(SEARCHED_OF_TRAINING)} can"
            )


def _check_operating_plan(plan: SearchPlan, path: Path) -> None:
    names = [field.name for field in fields(OperatingSettings)]
    if unknown := [key for key in plan.space if key not in names]:
        raise UserError(f"{path}: space: there is no setting {unknown[0]!r}; choose from {', '.join(names)}")
    if plan.minutes or plan.steps or plan.settings or plan.rungs > 1 or len(plan.seeds) > 1:
        raise UserError(
            f"{path}: minutes, steps, settings, rungs and seeds are for searches of recipes; here nothing is trained"
        )


def _complete_starts(plan: SearchPlan, path: Path, default: CandidateSettings) -> list[dict[str, Any]]:
    for start in plan.starts:
        for key, value in start.items():
            if key not in plan.space or not plan.space[key].contains(value):
                raise UserError(f"{path}: starts: {key}: {value} is not in the space")
    return [dict(default), *({**default, **start} for start in plan.starts)]


def _get_setting(recipe: Recipe, name: str) -> Any:
    """Return a setting by its dotted name; a loss that the recipe does not have has the weight 0."""
    value: Any = recipe
    for part in name.split("."):
        if isinstance(value, dict):
            value = value.get(part, 0.0)
        elif is_dataclass(value) and part in {field.name for field in fields(value)}:
            value = getattr(value, part)
        else:
            raise UserError(f"space: a recipe has no setting {name!r}")
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
