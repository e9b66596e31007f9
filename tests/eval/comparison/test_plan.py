"""Plans of comparisons, and the budget of their runs."""

from dataclasses import replace

import pytest

from codec.errors import UserError
from codec.recipe import recipe_names
from eval.comparison.plan import PlanOverrides, limit_to_budget, plan_runs, read_comparison_plan
from eval.comparison.run import compare
from eval.systems.trainable_peers import PEERS
from tests.helpers.plans import write_comparison_plan

WIDTHS = {name: peer.width for name, peer in PEERS.items()}


@pytest.mark.parametrize("name", recipe_names("compare"))
def test_plans_of_the_package_are_complete(name):
    plan = read_comparison_plan(name)
    runs = plan_runs(plan, WIDTHS)
    assert len({run.name for run in runs}) == len(runs) >= len(plan.candidates) > 2
    assert next(iter(plan.candidates)) == "ours"
    assert len({run.recipe.data.crop_s for run in runs}) == 1  # so that curves are of the same crops


@pytest.mark.parametrize(
    ("changes", "overrides", "name"),
    [
        ({"minutes": 1}, {}, "minutes or steps"),
        ({"steps": 0}, {}, "minutes or steps"),
        ({}, {"minutes": -1.0}, "minutes or steps"),
        ({"candidates": {}}, {}, "candidates"),
        ({"recipe": "nonsense"}, {}, "nonsense"),
        ({"clips": 0}, {}, "clips"),
        ({"kbps": []}, {}, "kbps"),
        ({"candidate": {}}, {}, "candidates"),
        ({"candidates": {"a/b": {}}}, {}, "a/b"),
        ({"candidates": {"a": {"architecture": "opus"}}}, {}, "opus"),
        ({"candidates": {"a": {"width": 3}}}, {}, "width"),
        ({"candidates": {"a": {"architecture": "dac", "width": 0}}}, {}, "width .*0"),
        ({"candidates": {"a": {"settings": {"optim.speed": 3}}}}, {}, "speed"),
        ({"candidates": {"a": {"settings": {"losses": {"loud": 1.0}}}}}, {}, "loud"),
        ({"candidates": {"a": {"seeds": []}}}, {}, "seeds"),
        ({}, {"only": ["b"]}, "b"),
        ({"settings": {"codec.sample_rate": 24000}}, {}, "24000x1"),
    ],
)
def test_wrong_plans_are_an_error_of_one_line_before_anything_is_trained(
    tmp_path, prepared, monkeypatch, changes, overrides, name
):
    monkeypatch.setattr("eval.comparison.run.train", lambda *_, **__: pytest.fail("it must not train"))
    with pytest.raises(UserError, match=name) as error:
        compare(write_comparison_plan(tmp_path, **changes), prepared, tmp_path / "out", PlanOverrides(**overrides))
    assert "\n" not in str(error.value)


def test_a_plan_or_data_that_does_not_exist_is_an_error(tmp_path, prepared):
    with pytest.raises(UserError, match="ablation, equal_examples, peers"):
        compare("nonsense", prepared, tmp_path)
    with pytest.raises(UserError, match=str(tmp_path / "nothing")):
        compare(write_comparison_plan(tmp_path), tmp_path / "nothing", tmp_path)


def test_schedules_fit_the_budget(tmp_path):
    wide = {"settings": {"adversarial.weight": 0.1, "optim.warmup_steps": 100}}
    path = write_comparison_plan(tmp_path, candidates={"a": wide, "b": {}})
    plan = read_comparison_plan(path, PlanOverrides(minutes=2.0))
    first, second = plan_runs(plan, WIDTHS)
    recipe = limit_to_budget(first, plan, 1000)
    assert (recipe.train.max_minutes, recipe.train.validate_every, recipe.train.patience) == (2.0, 500, 0)
    assert recipe.train.steps > 1000 and recipe.optim.warmup_steps == 50 and recipe.adversarial.start_step == 500
    counted = replace(plan, minutes=0.0, steps=40)
    assert limit_to_budget(second, counted, 40).train.steps == 40
    own_start = replace(first, own_start=True)
    assert limit_to_budget(own_start, plan, 1000).adversarial.start_step == first.recipe.adversarial.start_step
