"""Plans of searches, and their spaces."""

import re
from dataclasses import asdict
from pathlib import Path

import pytest

from codec.errors import UserError
from codec.model.codec import Codec
from codec.recipe import recipe_names
from eval.search.plan import OperatingSettings, read_search_plan
from eval.search.space import Dimension
from eval.systems.complexity import measure_complexity
from tests.helpers.plans import write_search_plan

HOPS = {"choices": [160, 320]}


def test_networks_of_the_latent_search_have_equal_multiply_adds():
    plan = read_search_plan("search_latent")
    recipes = [plan.recipe_with({"networks": choice}) for choice in plan.space["networks"].choices]
    gmacs = [measure_complexity(Codec, recipe.codec).gmacs for recipe in recipes]
    assert gmacs == pytest.approx([gmacs[0]] * len(recipes), rel=0.04) and len(set(gmacs)) > 3


@pytest.mark.parametrize("name", recipe_names("search"))
def test_plans_of_the_package_are_complete(name):
    plan = read_search_plan(name)
    assert all(dimension.contains(start[key]) for start in plan.starts for key, dimension in plan.space.items())


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"space": {}}, "space"),
        ({"space": {"codec.hip": {"low": 1, "high": 2}}}, "'codec.hip'"),
        ({"space": {"codec.decoder.width": {"low": 32, "high": 64}}}, "codec.decoder.width must contain 16"),
        ({"space": {"optim.lr": {"low": 0.0, "high": 1.0, "log": True}}}, "optim.lr: .*low must be above 0"),
        ({"space": {"optim.lr": {"low": 1.0}}}, "optim.lr: .*choices"),
        ({"space": {"train.steps": {"low": 1, "high": 100_000}}}, "train.steps"),
        (
            {"space": {"latent": {"choices": [{"codec.power": 0.6, "codec.hop": 320}]}, "codec.hop": HOPS}},
            "hop .*twice",
        ),
        ({"space": {"latent": {"choices": [{"codec.power": 0.6}, {"codec.hop": 160}]}}}, "latent: .*codec.power"),
        ({"space": {"latent": {"choices": [{"codec.power": 0.5, "codec.hop": 320}]}}}, "latent must contain .*0.6"),
        ({"space": {"latent": {"choices": [{"codec.hip": 3}]}}}, "'codec.hip'"),
        ({"space": {"latent": {"choices": [{"train.seed": 0}]}}}, "train.seed .*train.unquantized_share"),
        ({"population": 40}, "population .*40"),
        ({"metric": "beauty"}, "'beauty'"),
        ({"minutes": 1}, "minutes or steps"),
        ({"starts": [{"optim.lr": 5.0}]}, "starts: optim.lr: 5.0"),
        ({"kind": "operating", "model": "speech_16k_v2", "space": {"threads": {"choices": [1]}}}, "steps"),
    ],
)
def test_wrong_plans_are_an_error_of_one_line(tmp_path, changes, name):
    with pytest.raises(UserError, match=name) as error:
        read_search_plan(write_search_plan(tmp_path, **changes))
    assert ("\n" not in str(error.value) and "plan.yaml" in str(error.value)) or "codec.hip" in name


def test_the_usual_operating_settings_must_be_in_the_space_and_are_documented(tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text("kind: operating\nmodel: speech_16k_v2\nspace:\n  threads: {choices: [2, 4]}\n")
    with pytest.raises(UserError, match="threads must contain 1"):
        read_search_plan(str(plan))
    text = (Path(__file__).parents[3] / "docs/search.md").read_text(encoding="utf-8")
    documented = dict(re.findall(r"^\| `(\w+)` \| `?([\w.]+)`? \| .* \|$", text, re.MULTILINE))
    defaults = {name: str(value).removesuffix(".0") for name, value in asdict(OperatingSettings(24)).items()}
    assert documented == {**defaults, "codebooks": "all"}


def test_choices_can_be_any_value_of_a_recipe():
    dimension = Dimension(choices=[{"l1": 1.0}, [1, 2], "rvq", 3])
    stored = [dimension.to_optuna(value) for value in dimension.choices]
    assert [dimension.from_optuna(value) for value in stored] == dimension.choices


def test_a_range_of_integers_ends_at_its_last_whole_step():
    assert Dimension(low=1, high=8, step=3).distribution().high == 7
