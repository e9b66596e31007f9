"""The verdict on curves whose truth is known because they were made that way."""

import numpy as np
import pytest

from codec.training.fit_diagnosis import diagnose, diagnose_curves, diagnose_run
from codec.training.metrics_log import Curve, read_curves

STEPS = np.arange(0, 10_001, 500)


def curve(values) -> Curve:
    return Curve(tuple(int(step) for step in STEPS), tuple(float(value) for value in values))


def decay(floor: float, start: float, scale: float) -> np.ndarray:
    return floor + (start - floor) * np.exp(-STEPS / scale)


def wobble(seed: int) -> np.ndarray:
    return 1 + 0.004 * np.random.default_rng(seed).standard_normal(len(STEPS))


@pytest.mark.parametrize("seed", range(5))
def test_level_and_close_curves_are_well_fitted(seed):
    train, validation = decay(1.0, 5.0, 1500) * wobble(seed), decay(1.08, 5.1, 1500) * wobble(seed + 9)
    found = diagnose(curve(train), curve(validation), 2.8)
    assert found.verdict == "well fitted"
    assert 2500 <= found.since <= 9000  # exp(-step / 1500) has made the rest small, and it is level before the end
    assert diagnose(curve(train), curve(validation)).verdict == "well fitted"


@pytest.mark.parametrize("seed", range(5))
def test_rising_validation_is_overfitted_since_its_lowest_point(seed):
    train = decay(0.4, 5.0, 2500) * wobble(seed)
    validation = decay(1.2, 5.0, 900) + np.maximum(0, STEPS - 4000) * 5e-5
    found = diagnose(curve(train), curve(validation * wobble(seed + 9)), 2.8)
    assert found.verdict == "overfitted"
    assert 3000 <= found.since <= 5500
    assert "more groups" in found.action


def test_a_growing_gap_is_overfitted_even_if_validation_never_rises():
    train, validation = decay(0.7, 5.0, 1500), decay(1.6, 5.0, 1500)
    found = diagnose(curve(train), curve(validation), 2.8)
    assert found.verdict == "overfitted"
    ratios = np.array(validation) / np.array(train)
    assert found.since == STEPS[np.argmax(ratios > 1.25)]


def test_a_gap_from_the_start_is_not_overfitting():
    train, validation = decay(1.0, 4.0, 1500), 1.4 * decay(1.0, 4.0, 1500)
    assert diagnose(curve(train), curve(validation), 2.8).verdict == "well fitted"


def test_falling_validation_is_underfitted_and_more_steps_are_recommended():
    train, validation = decay(0.5, 5.0, 9000), decay(0.55, 5.0, 9000)
    found = diagnose(curve(train), curve(validation), 2.8)
    assert found.verdict == "underfitted" and "20,000 steps" in found.action


@pytest.mark.parametrize("baseline", [2.8, None])
def test_a_run_that_learned_nothing_is_underfitted_and_no_more_steps_are_recommended(baseline):
    found = diagnose(curve(np.full(len(STEPS), 5.0) * wobble(0)), curve(np.full(len(STEPS), 5.1)), baseline)
    assert found.verdict == "underfitted" and "lr-range-test" in found.action
    after_minutes = Curve(tuple(step // 50 for step in curve(STEPS).steps), (5.0,) * len(STEPS))
    assert "1,000" in diagnose(after_minutes, after_minutes, baseline).action


@pytest.mark.parametrize("start", [0.8, 2.0])
def test_a_risen_training_loss_is_underfitted_since_its_lowest_point_and_no_more_steps_are_recommended(start):
    rising = start * (0.9 + 0.1 * np.exp(-STEPS / 500) + 0.3 / (1 + np.exp((4000 - STEPS) / 300)))
    found = diagnose(curve(rising * wobble(0)), curve(1.1 * rising * wobble(9)), 2.8)
    assert found.verdict == "underfitted" and "optim.lr" in found.action
    assert 1000 <= found.since <= 3500
    falling = np.where(STEPS < 7500, 1.5 * start, 1.5 * start - (STEPS - 7500) * start / 10_000)
    assert "steps" in diagnose(curve(falling * (STEPS > 500) + start * (STEPS <= 500)), curve(falling), 2.8).action


def test_fine_tuning_from_a_good_model_is_not_underfitted():
    level = np.full(len(STEPS), 1.0)
    assert diagnose(curve(level), curve(1.03 * level), 2.8).verdict == "well fitted"


def test_validation_worse_than_noise_with_better_training_is_overfitted():
    assert diagnose(curve(decay(0.5, 5.0, 1500)), curve(decay(3.0, 5.0, 900)), 2.8).verdict == "overfitted"


def test_the_noise_that_a_run_recorded_outranks_that_of_an_evaluation():
    """The two have other clips and scales: the page of an evaluation must not contradict that of the run."""
    level = {(split, "mel"): curve(np.full(len(STEPS), 1.9)) for split in ("train_fixed", "val")}
    assert diagnose_curves({**level, ("noise", "mel"): Curve((0,), (2.0,))}, 2.7).verdict == "underfitted"
    assert diagnose_curves(level, 2.7).verdict == "well fitted"


def test_few_points_are_undecided():
    two = Curve((0, 100), (5.0, 2.0))
    assert diagnose(two, two, 2.8).verdict == "undecided"
    assert diagnose(Curve((), ()), Curve((), ())).verdict == "undecided"


def write(run, rows):
    run.mkdir(exist_ok=True)
    text = "".join(f"{step},{split},{term},{value}\n" for step, split, term, value in rows)
    (run / "metrics.csv").write_text("step,split,term,value\n" + text)


def test_the_mel_distance_is_used_or_else_the_total_loss(tmp_path):
    both = {"train_fixed": decay(1.0, 5.0, 1500), "val": decay(1.08, 5.1, 1500)}
    rows = [(step, split, "mel", value) for split, values in both.items() for step, value in zip(STEPS, values)]
    worse = [(step, "val", "total", 9.0) for step in STEPS] + [(step, "train_fixed", "total", 9.0) for step in STEPS]
    write(tmp_path / "a", rows + worse)
    assert diagnose_run(tmp_path / "a", 2.8).verdict == "well fitted"
    assert diagnose_run(tmp_path / "a", 2.8).term == "mel"
    write(tmp_path / "b", worse)
    assert (diagnose_run(tmp_path / "b", 2.8).verdict, diagnose_run(tmp_path / "b").term) == (
        "underfitted",
        "total",
    )
    assert diagnose_run(tmp_path / "nowhere").verdict == "undecided"


def test_repeated_steps_and_damaged_rows_of_a_table_are_handled(tmp_path):
    rows = [
        (0, "val", "mel", 5.0),
        (100, "val", "mel", 4.0),
        (100, "val", "mel", 3.5),
        (200, "val", "mel", "nan"),
    ]
    write(tmp_path, rows)
    with (tmp_path / "metrics.csv").open("ab") as file:
        file.write(b"300,\xff\xfe,mel,1.0\n300,val,me")
    assert read_curves(tmp_path)["val", "mel"] == Curve((0, 100), (5.0, 3.5))
