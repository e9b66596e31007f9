"""Training health: findings on made curves, and a real run with its log, audio samples and page."""

import base64
import csv
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.cli import main
from codec.errors import UserError
from codec.recipe import read_recipe, write_recipe
from codec.training.metrics_log import read_curves
from codec.training.run_folder import TrainingResult, audio_sample_folders
from codec.training.trainer import train
from eval.training_health.examine import RunHealth, examine
from eval.training_health.page import write_health_page
from tests.helpers.browser import browser
from tests.helpers.tiny import TINY, WITHOUT_CONTEXTS

STEPS = np.arange(500, 10_001, 500)
RECIPE = read_recipe(
    "quickstart", [*TINY, "--train.steps=10000", "--train.validate_every=500", "--train.max_minutes=0"]
)
ADVERSARIAL = ["--adversarial.weight=0.1", "--adversarial.width=4", "--adversarial.start_step=4"]


def decay(floor: float, start: float, scale: float) -> np.ndarray:
    return floor + (start - floor) * np.exp(-STEPS / scale)


WELL = {("train_fixed", "mel"): decay(1.0, 5.0, 1500), ("val", "mel"): decay(1.05, 5.0, 1500)}
KNOWN = {
    "well fitted": WELL,
    "overfitted": {
        ("train_fixed", "mel"): decay(0.4, 5.0, 2500),
        ("val", "mel"): decay(1.2, 5.0, 900) + np.maximum(0, STEPS - 4000) * 1e-4,
    },
    "underfitted": {("train_fixed", "mel"): decay(0.5, 5.0, 9000), ("val", "mel"): decay(0.55, 5.0, 9000)},
}


def made(run: Path, curves: dict[tuple[str, str], np.ndarray], ended: bool = True, recipe=RECIPE) -> Path:
    """A run folder with these curves at the steps above; the total is the mel distance."""
    run.mkdir()
    totals = {(split, "total"): values for (split, term), values in curves.items() if term == "mel"}
    steps = {key: STEPS[: len(values)] for key, values in curves.items()}
    with (run / "metrics.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["step", "split", "term", "value"])
        for key, values in (curves | totals).items():
            table.writerows([step, *key, value] for step, value in zip(steps.get(key, STEPS), values))
    write_recipe(run / "recipe.yaml", recipe)
    if ended:
        TrainingResult(10_000, "all steps done", 10_000, 1.0, 60.0).write(run)
    return run


def state(health: RunHealth, topic: str) -> str:
    return next(finding.state for finding in health.findings if finding.topic == topic)


# --- findings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verdict", KNOWN)
def test_the_verdict_is_the_one_the_curves_were_made_for(tmp_path, verdict):
    found = examine(made(tmp_path / "run", KNOWN[verdict]))
    assert found.diagnosis.verdict == verdict and verdict in found.text()
    assert (found.state == "good") == (verdict == "well fitted")
    if verdict == "overfitted":
        assert 2500 <= found.diagnosis.since <= 5500 and f"since step {found.diagnosis.since:,}" in found.text()


def test_a_run_without_a_verdict_is_not_called_good(tmp_path):
    few = {key: values[:1] for key, values in WELL.items()}
    steady = few | {("train", "grad_norm"): np.full(1, 2.0), ("train", "clipped"): np.full(1, 0.5)}
    found = examine(made(tmp_path / "early", steady, ended=False))
    assert found.state == "unknown" and found.findings[0].advice
    ended = examine(made(tmp_path / "ended", steady))
    assert ended.state == "unknown" and "lower train.validate_every" in ended.text()
    clipped = steady | {("train", "clipped"): np.full(1, 1.0)}
    found = examine(made(tmp_path / "clipped", clipped, ended=False))
    assert found.state == "watch" and "gradients" in found.answer
    assert "Raise optim.clip_norm to about 4," in found.text()
    warm = read_recipe("quickstart", [*TINY, "--train.steps=10000", "--optim.warmup_steps=500"])
    found = examine(made(tmp_path / "warm", clipped, ended=False, recipe=warm))
    assert found.state == "unknown" and state(found, "gradients") == "good"


def test_in_the_warm_up_there_is_no_verdict(tmp_path):
    for warmup, verdict in ((9_500, "well fitted"), (10_000, "undecided")):
        recipe = read_recipe("quickstart", [*TINY, "--train.steps=10000", f"--optim.warmup_steps={warmup}"])
        found = examine(made(tmp_path / str(warmup), WELL, recipe=recipe))
        assert found.diagnosis.verdict == found.standing.diagnosis.verdict == verdict
        assert (found.state == "good") == (verdict != "undecided")
    assert "until step 10,000" in found.text() and "lower optim.warmup_steps" in found.text()


def test_a_run_in_progress_may_still_be_falling(tmp_path):
    half = {key: values[:10] for key, values in KNOWN["underfitted"].items()}
    found = examine(made(tmp_path / "half", half, ended=False))
    assert found.diagnosis.verdict == "underfitted" and found.state == "good"
    assert "at step 5,000 of 10,000" in found.progress and "in progress" in found.progress
    overfitted = {key: values[:16] for key, values in KNOWN["overfitted"].items()}
    assert examine(made(tmp_path / "over", overfitted, ended=False)).state == "watch"


def test_a_run_that_began_well_is_judged_by_noise_or_by_its_first_batch(tmp_path):
    late = {key: decay(1.0, 1.15, 3000) for key in WELL}
    assert examine(made(tmp_path / "unknown", late)).diagnosis.verdict == "underfitted"
    for name, value in ((("noise", "mel"), 2.7), (("train", "mel"), 1.8)):
        run = made(tmp_path / name[0], late)
        with (run / "metrics.csv").open("a") as file:
            file.write(f"1,{name[0]},{name[1]},{value}\n")
        assert examine(run).diagnosis.verdict == "well fitted"


@pytest.mark.parametrize(
    ("topic", "term", "good", "other", "expected"),
    [
        ("gradients", "grad_norm", np.full(20, 2.0), np.geomspace(1, 30, 20), "watch"),
        ("gradients", "clipped", np.full(20, 0.9), np.full(20, 1.0), "watch"),
        ("speed", "audio_s_per_s", np.full(20, 30.0), np.repeat([30.0, 12.0], [15, 5]), "watch"),
        ("discriminator", "discriminator_right", np.full(20, 0.8), np.linspace(0.7, 1.0, 20), "watch"),
        ("discriminator", "discriminator_right", np.full(20, 0.8), np.full(20, 0.5), "watch"),
    ],
)
def test_problems_are_found_and_named(tmp_path, topic, term, good, other, expected):
    recipe = read_recipe("quickstart", [*TINY, *ADVERSARIAL, "--train.steps=10000"])
    for name, values, wanted in (("good", good, "good"), ("other", other, expected)):
        norms = {("train", "grad_norm"): np.full(20, 2.0), ("train", "clipped"): np.full(20, 0.5)}
        run = made(tmp_path / name, WELL | norms | {("train", term): values}, recipe=recipe)
        found = examine(run)
        assert state(found, topic) == wanted
        assert (topic in found.answer) == (wanted != "good")


def test_a_slowdown_is_described_with_its_speeds(tmp_path):
    slowed = np.array([22.0] * 15 + [8.0] * 4 + [27.0])
    run = made(tmp_path / "run", WELL | {("train", "audio_s_per_s"): slowed})
    found = examine(run)
    speed = next(finding.text for finding in found.findings if finding.topic == "speed")
    assert re.findall(r"\b(?:8|22|27)\b", speed) == ["8", "22", "27"]
    write_health_page(found, run, run / "page.html")
    tile = re.search(r"<dt>Speed</dt><dd>(.*?)</dd><dd[^>]*>(.*?)</dd>", (run / "page.html").read_text())
    assert tile.groups() == ("27×", "seconds of audio per second, last measured")


@pytest.mark.parametrize("start", [5_000, 6_250, 8_750, 9_900])
def test_the_start_of_the_discriminator_is_no_slowdown(tmp_path, start):
    """A value tells of the 500 steps up to it: one may be of both stages."""
    recipe = read_recipe(
        "quickstart", [*TINY, *ADVERSARIAL, "--train.steps=10000", f"--adversarial.start_step={start}"]
    )
    alone = np.clip((start - (STEPS - 500)) / 500, 0, 1)
    speed = 1 / (alone / 19 + (1 - alone) / 2)
    found = examine(made(tmp_path / "run", WELL | {("train", "audio_s_per_s"): speed}, recipe=recipe))
    finding = next(finding for finding in found.findings if finding.topic == "speed")
    assert finding.state != "watch" and "discriminator" in finding.text and f"{start:,}" in finding.text
    slowed = np.where(STEPS > 8_500, speed / 3, speed)
    if start < 7_000:
        assert (
            state(
                examine(made(tmp_path / "slowed", WELL | {("train", "audio_s_per_s"): slowed}, recipe=recipe)), "speed"
            )
            == "watch"
        )


@pytest.mark.parametrize(("used", "expected"), [(0.9, "good"), (0.3, "watch"), (0.05, "bad")])
def test_codebooks_that_are_not_used_are_found(tmp_path, used, expected):
    curves = {("val", "usage_q0"): np.full(20, used), ("val", "perplexity_q0"): np.full(20, 16 * used)}
    run = made(tmp_path / "run", WELL | curves)
    found = examine(run)
    assert state(found, "codebooks") == expected and found.state == expected
    assert f"{1 - used:.0%} of entries unused" in found.text()


def test_runs_of_earlier_versions_list_what_was_not_recorded(tmp_path, capsys):
    run = made(tmp_path / "old", WELL)
    with pytest.raises(SystemExit) as ended:
        main(["health", str(run), "--json"])
    assert ended.value.code == 0
    told = json.loads(capsys.readouterr().out)
    assert {f["topic"] for f in told["findings"] if f["state"] == "unknown"} == {"gradients", "codebooks", "speed"}
    page = (run / "health.html").read_text()
    missing = re.search(r"Not recorded in this run: (.*?)</p>", page)[1]
    for absent in ("gradient norms", "use of codebooks", "audio per second", "audio samples", "what was heard"):
        assert absent in missing
    assert told["heard"] is None
    with pytest.raises(UserError, match=r"metrics\.csv"):
        examine(tmp_path)


# --- a real run ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ran(prepared, tmp_path_factory) -> tuple[Path, list[str]]:
    """A run with a discriminator, stopped at step 12 and given more steps; and the lines of its log."""
    run, words = (
        tmp_path_factory.mktemp("health") / "run",
        [*WITHOUT_CONTEXTS, *ADVERSARIAL, "--train.validate_every=2"],
    )
    lines: list[str] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("codec.training.monitors.say", lines.append)
        train(read_recipe("quickstart", [*words, "--train.steps=12"]), prepared, run, quiet=True)
        # as if killed after sounds were written and before the checkpoint
        shutil.copytree(run / "sounds/step_12", run / "sounds/step_14")
        train(read_recipe("quickstart", [*words, "--train.steps=16"]), prepared, run, quiet=True)
    places = [place for place, line in enumerate(lines) if line.startswith("step ")]
    assert all(len(lines[place]) <= 120 and lines[place + 1].startswith("  ") for place in places)
    return run, [lines[place] + lines[place + 1] for place in places]


def test_each_validation_prints_the_status(ran):
    run, lines = ran
    assert [re.match(r"step (\d+) ", line)[1] for line in lines] == [str(step) for step in range(2, 17, 2)]
    for line in lines:
        for told in ("left)", "training", "validation", "verdict" if " 2 " in line[:8] else "", "gradient norm"):
            assert told in line
        assert "s of audio per second" in line and "% unused, perplexity" in line
    assert "too early for a verdict" in lines[0] and "so far" in lines[3]
    assert ["discriminator accuracy" in line for line in lines] == [False, False] + 6 * [True]
    curves = read_curves(run)
    assert curves["val", "total"].values[-1] == pytest.approx(
        float(re.search(r"validation ([\d.]+)", lines[-1])[1]), rel=1e-3
    )


def test_recorded_values_are_within_their_bounds(ran):
    curves = read_curves(ran[0])
    assert curves["noise", "mel"].steps == (0,) and 1 < curves["noise", "mel"].values[0] < 10
    for name in ("grad_norm", "discriminator_grad_norm"):
        median, largest = (curves["train", key] for key in (name, f"{name}_max"))
        assert median.steps == largest.steps
        assert all(0 < m <= most for m, most in zip(median.values, largest.values))
    assert curves["train", "grad_norm"].steps == tuple(range(2, 17, 2))
    assert curves["train", "discriminator_right"].steps == tuple(range(6, 17, 2))
    for name in ("discriminator_right", "clipped"):
        assert all(0 <= value <= 1 for value in curves["train", name].values)
    assert all(speed > 0 for speed in curves["train", "audio_s_per_s"].values)


def test_audio_samples_are_decodes_of_the_run(ran, prepared):
    sounds = ran[0] / "sounds"
    best = json.loads((ran[0] / "run.json").read_text())["best_step"]
    assert set(audio_sample_folders(sounds)) == {2, 4, 8, 16, best}
    clips = sorted(path.name for path in (sounds / "original").iterdir())
    assert clips == ["clip_1.flac", "clip_2.flac", "clip_3.flac"]
    for folder in audio_sample_folders(sounds).values():
        assert sorted(path.name for path in folder.iterdir()) == clips
        for name in clips:
            wave, rate = soundfile.read(folder / name)
            assert rate == 16000 and len(wave) == 4 * rate and np.isfinite(wave).all()
    assert not list(sounds.glob(".*"))
    last, first = (soundfile.read(audio_sample_folders(sounds)[step] / "clip_1.flac")[0] for step in (16, 2))
    assert not np.array_equal(last, first)


def test_the_page_is_complete_and_loads_nothing(ran, capsys):
    run = ran[0]
    with pytest.raises(SystemExit) as ended:
        main(["health", str(run), "--out", str(run / "page.html")])
    out = capsys.readouterr().out
    assert ended.value.code == 0 and examine(run).answer in out and "best    step" in out
    page = (run / "page.html").read_text()
    addresses = re.findall(r'\s(?:src|href)="([^"]*)"', page)
    assert addresses and all(address.startswith(("data:", "#")) for address in addresses)
    assert not re.search(r"https?://|@import|fetch\(", page) and "prefers-color-scheme: dark" in page
    for heading in ("Losses", "Audio samples", "Gradients", "Discriminator", "Codebooks", "What was heard", "Speed"):
        assert f"<h2>{heading}</h2>" in page
    assert "Not recorded" not in page and page.count("codebook 3: perplexity") == 8
    names = re.findall(r'id="([^"]+)"', page)
    assert len(names) == len(set(names))
    sounds = [soundfile.read(io.BytesIO(base64.b64decode(a.split(",")[1])))[0] for a in addresses if "audio/flac" in a]
    assert len(sounds) == 3 * (1 + len(audio_sample_folders(run / "sounds")))
    np.testing.assert_array_equal(sounds[0], soundfile.read(run / "sounds/original/clip_1.flac")[0])


def test_train_writes_the_page_and_prints_why_it_stopped(prepared, tmp_path, capsys):
    write_recipe(
        tmp_path / "tiny.yaml",
        read_recipe("quickstart", [*WITHOUT_CONTEXTS, "--train.steps=2", "--train.validate_every=1"]),
    )
    with pytest.raises(SystemExit) as ended:
        main(["train", str(tmp_path / "tiny.yaml"), "--data", str(prepared), "--run", str(tmp_path / "run")])
    out = capsys.readouterr().out
    assert ended.value.code == 0 and "stopped after 2 steps (all steps done)" in out
    assert re.search(r"best: step [12] has the lowest validation loss", out)
    assert (tmp_path / "run/health.html").is_file()
    source, heard_s = examine(tmp_path / "run").heard.sources.popitem()[0], examine(tmp_path / "run").heard.heard_s
    assert source in (tmp_path / "run/model/README.md").read_text() and 0 < heard_s <= 2 * 2 * 0.24


def test_versions_of_a_clip_are_switched_while_it_plays(ran):
    path, faults = ran[0] / "played.html", []
    write_health_page(examine(ran[0]), ran[0], path)
    with browser() as opened:
        page = opened.new_context(offline=True).new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(path.as_uri())
        clip = page.locator(".ab").first
        pressed = clip.locator(".switch [aria-pressed=true]")
        assert pressed.inner_text().startswith("16")
        clip.locator(".play").click()
        page.wait_for_function("Number(document.querySelector('.position').value) > 0.1")
        clip.locator(".switch button").first.click()
        at = float(clip.locator(".position").input_value())
        assert pressed.inner_text() == "Original" and at > 0.1
        page.wait_for_function(f"Number(document.querySelector('.position').value) > {at}")
        assert "playing" in clip.get_attribute("class")
    assert faults == []
