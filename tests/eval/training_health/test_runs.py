"""Several runs on one page: which settings, clips, losses and metrics are compared, and by what statistics."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.stats import ttest_rel

from codec.cli import main
from codec.config import Recipe
from codec.errors import UserError
from codec.recipe import read_recipe
from codec.training.run_folder import TrainingResult
from eval.training_health.run_comparison import (
    compare_evaluated_runs,
    losses_are_comparable,
    read_runs,
    recipe_differences,
)
from tests.eval.training_health.test_health import RECIPE, WELL, made
from tests.helpers.tiny import TINY

OTHER_RATE = read_recipe("quickstart", [*TINY, "--codec.sample_rate=24000", "--codec.hop=480", "--optim.lr=0.001"])
SECONDS = 1.0


def write_run(folder: Path, recipe: Recipe, loss: float, values: dict[str, float]) -> Path:
    """A run with a sound of its own and an evaluation of these clips, each of a group of its own."""
    run, rate = made(folder, WELL, recipe=recipe), recipe.codec.sample_rate
    TrainingResult(10_000, "all steps done", 10_000, loss, 60.0, data="same").write(run)
    time = np.arange(round(SECONDS * rate)) / rate
    for name, gain in (("original", 1.0), ("step_10000", loss)):
        (run / "sounds" / name).mkdir(parents=True)
        for clip, hz in (("clip_1", 300), ("clip_2", 700 if rate == 16000 else 900)):
            sound = 0.3 * gain * np.sin(2 * np.pi * hz * time * (1 + time))
            soundfile.write(run / f"sounds/{name}/{clip}.flac", sound, rate)
    clips = [
        {"clip_id": clip, "group": clip, "scores": {"pesq": {"value": value, "reason": "", "weight": 1.0}}}
        for clip, value in values.items()
    ]
    result = {"split": "val", "operating_point": "all codebooks", "kbps": 3.0, "made": "2026-01-01", "clips": clips}
    (run / "validation").mkdir()
    (run / "validation/results.json").write_text(json.dumps(result))
    return run


@pytest.fixture
def folders(tmp_path) -> list[Path]:
    rng = np.random.default_rng(0)
    first = dict(zip("abcdefghij", rng.uniform(2, 3, 10)))
    second = {clip: value + 0.3 + 0.1 * rng.standard_normal() for clip, value in first.items() if clip != "a"}
    return [
        write_run(tmp_path / "x", RECIPE, 1.0, first),
        write_run(tmp_path / "y", OTHER_RATE, 0.5, {**second, "z": 1.0}),
    ]


def test_metrics_are_compared_clip_by_clip_across_sample_rates(folders):
    found = compare_evaluated_runs(read_runs(folders))
    (one,) = found.differences
    values = [json.loads((run / "validation/results.json").read_text())["clips"] for run in folders]
    x, y = ({clip["clip_id"]: clip["scores"]["pesq"]["value"] for clip in each} for each in values)
    shared = sorted(x.keys() & y.keys())
    expected = ttest_rel([y[clip] for clip in shared], [x[clip] for clip in shared])
    low, high = expected.confidence_interval(0.95)
    assert (found.clips, one.name, one.metric, one.sign) == (9, "y", "pesq", 1)
    assert (one.difference.low, one.difference.high) == pytest.approx((low, high))
    assert one.difference.p == pytest.approx(expected.pvalue)
    (folders[1] / "validation/results.json").unlink()
    assert compare_evaluated_runs(read_runs(folders)) is None


def test_recipes_are_compared_setting_by_setting(folders):
    differing = dict(recipe_differences(read_runs(folders)))
    assert differing["codec.sample_rate"] == ["16000", "24000"] and differing["optim.lr"] == ["0.002", "0.001"]
    assert "codec.quantizer.codebooks" not in differing


def test_losses_are_comparable_if_terms_and_crops_are_the_same(folders, tmp_path):
    assert not losses_are_comparable(read_runs(folders))
    same = made(tmp_path / "same", WELL, recipe=replace(RECIPE, optim=replace(RECIPE.optim, lr=1e-4)))
    assert not losses_are_comparable(read_runs([folders[0], same]))  # of data that is not known
    TrainingResult(10_000, "all steps done", 10_000, 1.0, 60.0, data="same").write(same)
    assert losses_are_comparable(read_runs([folders[0], same]))
    for wrong in ([folders[0]], [folders[0], folders[0]], [folders[0], tmp_path]):
        with pytest.raises(UserError):
            read_runs(wrong)


def test_the_page_has_what_is_common(folders, tmp_path, capsys):
    """Of two sounds, one is the same at both sample rates and is offered with both versions; curves are drawn once."""
    with pytest.raises(SystemExit) as ended:
        main(["report", *map(str, folders), "--out", str(tmp_path / "page.html")])
    page, printed = (tmp_path / "page.html").read_text(), capsys.readouterr().out
    assert not ended.value.code and str(tmp_path / "page.html") in printed and "PESQ" in printed
    assert page.count('<article class="ab"') == 1 and page.count("<audio") == 3
    assert page.count('aria-label="mel of several runs over steps"') == 1
    assert "codec.sample_rate" in page and "src=http" not in page
    with pytest.raises(SystemExit) as ended:
        main(["report", str(folders[0]), str(folders[1] / "validation"), "--out", str(tmp_path / "page.html")])
    assert ended.value.code == 2 and str(folders[1]) in capsys.readouterr().err
    (tmp_path / "sound.flac").write_bytes(b"a sound")
    with pytest.raises(SystemExit) as ended:
        main(["report", *map(str, folders), "--out", str(tmp_path / "sound.flac")])
    assert ended.value.code == 2 and (tmp_path / "sound.flac").read_bytes() == b"a sound"
