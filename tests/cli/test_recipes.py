"""``codec recipes``: what it lists, shows and copies; and the short options of ``codec train``."""

import json

import pytest

from codec.cli import main
from codec.recipe import read_recipe, recipe_names
from tests.helpers.tiny import TINY


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert isinstance(ended.value.code, int)
    return ended.value.code, *capsys.readouterr()


def test_all_recipes_are_listed_with_their_figures(capsys):
    listed = json.loads(run(capsys, "recipes", "--json")[1])
    assert [one["name"] for one in listed] == recipe_names()
    for one in listed:
        config = read_recipe(one["name"]).codec
        assert (one["sample_rate"], one["latency_ms"]) == (config.sample_rate, config.latency_ms)
    assert all(name in run(capsys, "recipes")[1] for name in recipe_names())


def test_what_is_shown_is_the_recipe(capsys, tmp_path):
    for words in (["speech_24k"], ["speech_24k", "--all-settings"]):
        (tmp_path / "a.yaml").write_text(run(capsys, "recipes", *words)[1])
        assert read_recipe(str(tmp_path / "a.yaml")) == read_recipe("speech_24k")
    assert run(capsys, "recipes", tmp_path / "a.yaml")[2].strip().endswith(read_recipe("speech_24k").codec.text())


def test_a_copy_is_the_recipe_until_it_is_changed(capsys, tmp_path):
    copy, second = tmp_path / "mine.yaml", tmp_path / "second.yaml"
    assert run(capsys, "recipes", "music_44k", "--out", copy)[0] == 0
    assert run(capsys, "recipes", copy, "--out", second)[0] == 0
    assert read_recipe(str(second)) == read_recipe("music_44k")
    copy.write_text(copy.read_text() + "optim: {lr: 1e-5}\n")
    assert read_recipe(str(second)).optim.lr == 1e-5


def test_wrong_requests_are_one_line_and_write_nothing(capsys, tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text("optim: {lr: 0.5}")
    requests = [("speech_16k", "--out", mine), ("speech_16k", "--out", tmp_path / "no/a.yaml"), ("--out", mine)]
    for words in [*requests, ("speech_16k", "--out", tmp_path / "a.txt"), ("speech_61k",), ("--all-settings",)]:
        status, out, error = run(capsys, "recipes", *words)
        assert status == 2 and out == "" and len(error.splitlines()) == 1, words
    assert [path.name for path in tmp_path.iterdir()] == ["mine.yaml"] and mine.read_text() == "optim: {lr: 0.5}"


def test_steps_and_minutes_are_options_of_train(capsys, prepared, tmp_path):
    words = ["train", "quickstart", "--data", prepared, "--run", tmp_path / "run", *TINY, "--train.validate_every=2"]
    status, out, error = run(capsys, *words, "--steps", "2e0", "--minutes", "5")
    assert status == 0, error
    recipe = read_recipe(str(tmp_path / "run/recipe.yaml"))
    assert (recipe.train.steps, recipe.train.max_minutes) == (2, 5.0) and recipe.codec.text() in out
    status, _, error = run(capsys, *words[:3], "--run", tmp_path / "other", "--steps", "many")
    assert status == 2 and len(error.splitlines()) == 1 and not (tmp_path / "other").exists()
