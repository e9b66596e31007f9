"""Each setting of a recipe has a type and a range; other values are refused with one line that names the setting."""

import itertools
import math
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from codec.config import CodecConfig, Recipe
from codec.errors import UserError
from codec.recipe import read_recipe, settings_of

BAD: list[Any] = [math.nan, math.inf, -math.inf, -1, -1e-9, 1e12, 10**22, "loud", None, [], {}, (1, 2, 3), object()]
"""Values that no setting accepts, except for those in :data:`ACCEPTED`."""
ACCEPTED = {
    "losses": ({},),  # refused by another rule, whose message names losses, too
    "target.domains": ({},),
    "data.source_weights": ({},),
    "data.silence_dbfs": (-1e-9, -1),
    "target.level_dbfs": (),
}


def sections(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """Return each dataclass in a configuration with its dotted name."""
    inner = [(f"{path}{field.name}", getattr(value, field.name)) for field in fields(value)]
    return [(path, value)] + [
        found for name, item in inner if is_dataclass(item) for found in sections(item, f"{name}.")
    ]


@pytest.mark.parametrize("path", [path for path, _ in sections(Recipe())])
def test_each_setting_refuses_values_of_other_types_and_ranges(path):
    section = dict(sections(Recipe()))[path]
    for field in fields(section):
        default = getattr(section, field.name)
        for bad in BAD:
            if any(bad is accepted or bad == accepted for accepted in ACCEPTED.get(f"{path}{field.name}", ())):
                continue
            with pytest.raises(UserError, match=field.name) as error:
                replace(section, **{field.name: bad})
            assert len(str(error.value)) < 300 and "\n" not in str(error.value)
        elements = [(bad, *default[1:]) for bad in BAD] if isinstance(default, tuple) else []
        elements += [{**default, "l1": bad} for bad in BAD] if isinstance(default, dict) else []
        for bad_element in elements:
            if path == "target." and field.name.endswith("dbfs") and bad_element[0] in (-1, -1e-9):
                continue  # a level
            with pytest.raises(UserError, match=field.name):
                replace(section, **{field.name: bad_element})


def test_defaults_and_limits_of_ranges_are_accepted():
    assert Recipe() == Recipe()
    for section, name, values in (
        ("train", "seed", (0, 2**32 - 1)),
        ("train", "patience", (0, 10**9)),
        ("data", "workers", (0,)),
        ("optim", "betas", ((0.0, 0.0), (0.999999, 0.999999))),
        ("optim", "final_lr_ratio", (0.0, 1.0)),
        ("augment", "mix", (0, 1)),
    ):
        for value in values:
            assert getattr(replace(getattr(Recipe(), section), **{name: value}), name) == value


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("losses: {l1: 0, mel: 0}", "losses"),
        ("data: {silence_dbfs: 0}", "data.silence_dbfs"),
        ("optim: {betas: [0.8, 1.0]}", "optim.betas"),
        ("optim: {lr: .inf}", "optim.lr"),
        ("target: {domains: {speech: 0.9, music: 0.9}}", "target.domains"),
        ("target: {level_dbfs: [-10, -40]}", "target.level_dbfs"),
        ("train: {seed: 1764265000000000000}", "train.seed"),
        ("train: {steps: 1.0e+30}", "train.steps"),
        ("codec: {encoder: {width: 60000}}", "width"),
        (f"train: {{steps: {'9' * 5000}}}", "4300 digits"),
        (f"losses: {'[' * 3000}{']' * 3000}", "levels"),
        ("losses: &all {l1: 1.0, mel: *all}", "losses"),
        (
            "a: &a [1,1,1,1,1,1,1,1]\n"
            + "".join(f"{new}: &{new} [{','.join([f'*{old}'] * 8)}]\n" for old, new in zip("abcdef", "bcdefg")),
            "aliases",
        ),
        (f"train: {{steps: {'x' * 100_000}}}", "train.steps"),
    ],
)
def test_invalid_recipes_are_refused_in_one_short_line(tmp_path, text, named):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=named) as error:
        read_recipe(str(path))
    assert len(str(error.value)) < 700 + len(str(path)) and "\n" not in str(error.value)


def test_long_values_on_the_command_line_are_refused_in_one_short_line():
    for word in ("--train.steps=" + "9" * 5000, "--losses.mel=" + "[" * 3000 + "]" * 3000, "--optim.lr=" + "x" * 9999):
        with pytest.raises(UserError, match=word[2:8]) as error:
            read_recipe("speech_16k", [word])
        assert len(str(error.value)) < 1000


def test_a_precision_of_32_may_be_written_without_quotation_marks(tmp_path):
    for text in ("32", "'32'", "bf16"):
        (tmp_path / "recipe.yaml").write_text(f"train: {{precision: {text}}}")
        assert read_recipe(str(tmp_path / "recipe.yaml")).train.precision == text.strip("'")


def test_an_alias_may_stand_for_a_section(tmp_path):
    (tmp_path / "recipe.yaml").write_text("codec: {encoder: &network {width: 8, depth: 1}, decoder: *network}")
    codec = read_recipe(str(tmp_path / "recipe.yaml")).codec
    assert codec.encoder == codec.decoder and codec.encoder.width == 8


def test_a_configuration_from_json_is_checked_like_a_recipe():
    for name, bad in (("sample_rate", "16000"), ("hop", 10**9), ("hop", 320.5), ("power", None)):
        with pytest.raises(UserError, match=name):
            CodecConfig.from_dict({**CodecConfig().to_dict(), name: bad})
    with pytest.raises(UserError, match="depth"):
        CodecConfig.from_dict({**CodecConfig().to_dict(), "encoder": {"width": 8, "depth": 10**9}})


def test_each_setting_can_be_written_and_read_again(tmp_path):
    """In files with one setting of each section, so that the others of the section have their defaults."""
    written: dict[str, list[tuple[str, Any]]] = {}
    for name, value in settings_of(Recipe()):
        section, _, own = name.rpartition(".")
        written.setdefault(section, []).append((own, list(value) if isinstance(value, tuple) else value))
    path = Path(tmp_path / "recipe.yaml")
    for settings in itertools.zip_longest(*written.values()):
        tree: dict[str, Any] = {}
        for section, (name, value) in ((section, given) for section, given in zip(written, settings) if given):
            place = tree
            for part in filter(None, section.split(".")):
                place = place.setdefault(part, {})
            place[name] = value
        path.write_text(yaml.safe_dump(tree))
        assert read_recipe(str(path)) == Recipe()
