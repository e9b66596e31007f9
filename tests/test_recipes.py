"""The recipes that ship, and the messages about settings that do not exist or do not fit."""

import difflib
import re
from dataclasses import fields
from pathlib import Path

import pytest
import torch
import yaml

from codec.cli.reference import recipe_reference
from codec.config import Recipe
from codec.errors import UserError
from codec.losses import LOSS_TERMS
from codec.model.codec import Codec
from codec.recipe import read_recipe, recipe_names, settings_of, write_recipe
from codec.training.trainer import train
from data_prep.options import PrepareOptions
from data_prep.prepare import prepare
from tests.helpers.tiny import TINY

DOCS = Path(__file__).parents[1] / "docs"
SMALL_FSQ = ["--codec.quantizer.codebooks=4", "--codec.quantizer.groups=4", "--codec.quantizer.contexts=2"]
SHORT = ["--train.steps=2", "--train.validate_every=2", "--adversarial.start_step=0", "--adversarial.width=4"]


def tiny(name: str) -> list[str]:
    """Return overrides with which two steps of the recipe, in all its stages, are quick."""
    if read_recipe(name).codec.quantizer.kind == "rvq":
        return [*TINY, *SHORT]
    return [*(word for word in TINY if "quantizer" not in word), *SMALL_FSQ, *SHORT]


def error_message(name: str, overrides: list[str]) -> str:
    """Return the message about a recipe that is refused, which must be one line."""
    with pytest.raises(UserError) as error:
        read_recipe(name, overrides)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- the recipes that ship ----------------------------------------------------------------------------------


def test_the_tutorial_lists_the_recipes_with_their_rates():
    rows = re.findall(r"^\| `(\w+)` \|(.* kHz.*)\|$", (DOCS / "tutorial.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(name for name, _ in rows) == recipe_names()
    for name, text in rows:
        codec = read_recipe(name).codec
        rate = re.search(r"([\d.]+) kHz", text)
        assert rate and float(rate[1]) * 1000 == codec.sample_rate
        if kbps := re.search(r"([\d.]+) kbit/s", text):
            assert float(kbps[1]) == pytest.approx(codec.quantizer.codebooks * codec.kbps_per_codebook)
        if span := re.search(r"([\d.]+) to [\d.]+ kbit/s", text):
            assert float(span[1]) == pytest.approx(codec.kbps_per_codebook)


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_complete_and_its_losses_exist(name, tmp_path):
    recipe = read_recipe(name)
    assert recipe.losses.keys() <= set(LOSS_TERMS) and any(recipe.losses.values())
    write_recipe(tmp_path / "whole.yaml", recipe)
    assert read_recipe(str(tmp_path / "whole.yaml")) == recipe
    assert yaml.safe_load((tmp_path / "whole.yaml").read_text()).keys() == {field.name for field in fields(Recipe)}


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_trains_two_steps(name, corpus, tmp_path):
    recipe = read_recipe(name, tiny(name))
    prepare(
        [corpus],
        tmp_path,
        PrepareOptions(sample_rate=recipe.codec.sample_rate, channels=recipe.data.channels, workers=1),
    )
    result = train(recipe, tmp_path, tmp_path / "run", quiet=True)
    assert result.steps == result.best_step == 2
    assert read_recipe(str(tmp_path / "run/recipe.yaml")) == recipe


def test_the_reference_is_up_to_date_and_describes_each_setting():
    page = recipe_reference()
    assert (DOCS / "recipes.md").read_text(encoding="utf-8") == page
    rows = dict(re.findall(r"^\| `([\w.]+)` \| [^|]+ \|[^|]+\| `[^|]+` \| (.+) \|$", page, re.MULTILINE))
    assert rows.keys() == {name for name, _ in settings_of(Recipe())}
    assert all(name in page for name in LOSS_TERMS)


# --- settings that do not exist or do not fit ---------------------------------------------------------------


def test_a_wrong_value_is_named_with_its_setting():
    """A setting of each type in each section: to read a recipe takes a tenth of a second."""
    each = {(path.rpartition(".")[0], type(value)): (path, value) for path, value in settings_of(Recipe())}
    for path, default in each.values():
        wrong = "1.5" if isinstance(default, int) and not isinstance(default, bool) else "nonsense"
        message = error_message("speech_16k", [f"--{path}={wrong}"])
        assert path in message and wrong in message.rpartition(path)[2], message


def test_a_misspelt_setting_is_named_with_the_right_one(tmp_path):
    for path, _ in settings_of(Recipe()):
        *sections, name = path.split(".")
        misspelt = name + name[-1]
        text = misspelt + ": 1"
        for section in reversed(sections):
            text = f"{section}: {{{text}}}"
        (tmp_path / "a.yaml").write_text(text)
        message = error_message(str(tmp_path / "a.yaml"), [])
        assert f"'{misspelt}'" in message and f"did you mean {name}?" in message, message
        assert all(f"{section}:" in message for section in sections)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["--optim.lr"], "optim.lr: expected one argument"),
        (["--losses.mel=loud"], "losses"),
        (["--losses.mel=-1"], "losses.mel must be from 0 to"),
        (["--losses.mel=inf"], "losses.mel"),
        (["--codec.hop=-5"], "codec.hop must be from 1 to"),
        (["--codec.encoder.dropout=1"], "dropout must be from 0 to below 1"),
        (["--codec.quantizer.kind=fsq", "--codec.quantizer.groups=5"], "multiple of groups (5)"),
        (["--target.level_dbfs=[1]"], "target.level_dbfs"),
        (["--train.mel_scales=8"], "train.mel_scales must be from 1 to 7"),
        (["--train.freeze_encoder=maybe"], "train.freeze_encoder"),
        (["--optim.learning_rate=3"], "no setting called optim.learning_rate; there are optim.lr, optim.betas"),
        (["--train.step=3"], "no setting called train.step; did you mean train.steps?"),
        (["--train.minutes", "3"], "no setting called train.minutes; did you mean train.max_minutes?"),
        (["--lr", "1"], "no setting called lr; did you mean adversarial.lr or optim.lr?"),
        (["--validate-every", "9"], "no setting called validate-every; did you mean train.validate_every?"),
        (["--quite"], "no setting called quite; there are codec, data, augment, losses"),
        (["--codec.quantizer.level=[3,3]"], "no setting called codec.quantizer.level; did you mean codec.quantizer"),
        (["more"], "unrecognized arguments: more"),
        (["--recipe", "other"], "no setting called recipe;"),
    ],
)
def test_overrides_that_do_not_fit_are_refused_in_one_line(overrides, expected):
    assert expected in error_message("speech_16k", overrides)


def test_overrides_replace_settings_of_the_file_and_no_others():
    plain, changed = read_recipe("speech_16k"), read_recipe("speech_16k", ["--losses.stft=2", "--optim.lr", "3e-4"])
    assert changed.losses == {**plain.losses, "stft": 2.0} and changed.optim.lr == 3e-4
    assert (changed.codec, changed.train, changed.augment) == (plain.codec, plain.train, plain.augment)


def test_a_recipe_changes_its_base(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/mine.yaml").write_text(
        "base: speech_24k\noptim: {lr: 1e-4}\nlosses: {mel: 1, l2: 3}\ntarget: {domains: {music: 1}}"
    )
    (tmp_path / "two.yaml").write_text("base: folder/mine.yaml\ntrain: {seed: 5}\nlosses: {mel: 0}")
    monkeypatch.chdir("/")
    plain, changed = read_recipe("speech_24k"), read_recipe(str(tmp_path / "two.yaml"), ["--train.steps=7"])
    assert changed.losses == {**plain.losses, "mel": 0.0, "l2": 3.0} and changed.target.domains == {"music": 1.0}
    assert (changed.optim.lr, changed.train.seed, changed.train.steps) == (1e-4, 5, 7)
    assert (changed.codec, changed.data, changed.adversarial) == (plain.codec, plain.data, plain.adversarial)
    assert changed.target.level_dbfs == plain.target.level_dbfs and changed.optim.betas == plain.optim.betas


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("base: a.yaml", "a.yaml"),
        ("base: absent.yaml", "absent.yaml"),
        ("base: [speech_16k]", "base"),
        ("base: speech_61k", "speech_61k"),
        ("base: speech_16k\noptim: 3", "optim"),
        ("base: speech_16k\nlosses: 3", "losses"),
        ("base: speech_16k\nlosses: {mel: loud}", "losses"),
        ("base: speech_16k\nstep: 3", "step"),
    ],
)
def test_a_base_that_does_not_fit_is_refused_in_one_line(tmp_path, text, expected):
    (tmp_path / "a.yaml").write_text(text)
    assert expected in error_message(str(tmp_path / "a.yaml"), []).replace(str(tmp_path), "")


def test_whole_numbers_may_be_written_with_an_exponent(tmp_path):
    (tmp_path / "a.yaml").write_text("train: {steps: 1e3, validate_every: 2.0e+2}")
    recipe = read_recipe(str(tmp_path / "a.yaml"), ["--train.seed=1e1", "--data.batch_size", "4.0"])
    assert (recipe.train.steps, recipe.train.validate_every, recipe.train.seed) == (1000, 200, 10)
    assert recipe.data.batch_size == 4 and type(recipe.data.batch_size) is type(recipe.train.steps) is int


def test_the_stated_number_of_parameters_is_that_of_the_networks():
    for name in recipe_names():
        config = read_recipe(name).codec
        with torch.device("meta"):
            found = sum(parameter.numel() for parameter in Codec(config).parameters())
        assert config.trained_count == pytest.approx(found, rel=0.005)
        assert f"{found / 1e6:.1f} M" in config.text() and f"{config.latency_ms:g} ms" in config.text()


def test_a_recipe_is_found_by_name_or_by_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.yml").write_text("optim: {lr: 0.5}")
    Path("speech_16k").write_text("a file with the name of a recipe")
    assert read_recipe("mine.yml").optim.lr == 0.5 and read_recipe("./mine.yml").optim.lr == 0.5
    assert read_recipe("speech_16k").codec.sample_rate == 16000
    names = re.findall(r"\w+", error_message("speech_16", []))
    assert set(recipe_names()) <= set(names) and difflib.get_close_matches("speech_16", names)
