"""Coverage of intervals and error rates of comparisons, by simulation and by known formulas."""

import numpy as np
import pytest
from scipy import stats

from eval.metrics.confidence import (
    SIGNIFICANCE,
    Estimate,
    GroupedValues,
    PairedDifference,
    describe_correction,
    estimate,
    estimate_gap,
    holm,
    paired_difference,
    reported,
    significant_signs,
)

GROUPS = (2, 3, 4, 5, 6, 8, 10, 20)


def draw(kind: str, rng: np.random.Generator, count: int) -> np.ndarray:
    """Group effects of mean 0 and standard deviation 1."""
    return rng.standard_normal(count) if kind == "normal" else rng.exponential(size=count) - 1


def sizes(kind: str, rng: np.random.Generator, count: int) -> np.ndarray:
    return np.full(count, 5) if kind == "equal" else rng.integers(1, 12, count)


def coverage(count: int, effects: str, clips: str, spread: float, trials: int = 1000) -> float:
    """Share of 95 % intervals that hold the true mean, 0; clips vary by 0.5 within a group, groups by ``spread``."""
    rng = np.random.default_rng(count)
    hits = 0
    for _ in range(trials):
        index = np.repeat(np.arange(count), sizes(clips, rng, count))
        values = spread * draw(effects, rng, count)[index] + 0.5 * rng.standard_normal(len(index))
        found = estimate(values.tolist(), [str(group) for group in index])
        assert found is not None and found.low is not None and found.high is not None
        hits += found.low <= 0 <= found.high
    return hits / trials


@pytest.mark.parametrize("clips", ["equal", "unequal"])
@pytest.mark.parametrize("count", GROUPS)
def test_intervals_cover_the_true_mean_in_95_percent_of_cases(count, clips):
    assert coverage(count, "normal", clips, 1.0) >= 0.93
    assert coverage(count, "normal", clips, 0.1, 500) >= 0.93


@pytest.mark.parametrize("count", GROUPS)
def test_intervals_of_few_skewed_groups_cover_as_documented(count):
    assert coverage(count, "exponential", "equal", 1.0) >= 0.87


@pytest.mark.parametrize("count", (2, 4, 8))
def test_paired_differences_cover_the_true_difference(count):
    rng = np.random.default_rng(count)
    groups = {f"{group}-{clip}": str(group) for group in range(count) for clip in range(5)}
    hits = 0
    for _ in range(1000):
        effects = {str(group): rng.standard_normal() for group in range(count)}
        reference: dict[str, float | None] = {clip: 10 * rng.standard_normal() for clip in groups}
        values: dict[str, float | None] = {
            clip: (reference[clip] or 0.0) + 0.2 + effects[groups[clip]] + 0.5 * rng.standard_normal()
            for clip in groups
        }
        found = paired_difference(values, reference, groups)
        assert found is not None and found.low is not None and found.high is not None
        hits += found.low <= 0.2 <= found.high
    assert hits / 1000 >= 0.93


def test_with_groups_of_one_size_it_is_the_t_interval_over_group_means():
    values = np.random.default_rng(0).standard_normal((6, 4))
    found = estimate(values.ravel().tolist(), [str(i) for i in range(6) for _ in range(4)])
    means = values.mean(1)
    wanted = stats.t.interval(0.95, 5, means.mean(), stats.sem(means))
    assert found == Estimate(pytest.approx(means.mean()), pytest.approx(wanted[0]), pytest.approx(wanted[1]), 24, 6)


def test_the_variance_is_unbiased_for_groups_of_different_sizes():
    rng, counts = np.random.default_rng(1), np.array([1, 2, 4, 20])
    names = [str(group) for group, count in enumerate(counts) for _ in range(count)]
    weights = counts / counts.sum()
    halves, means = [], []
    for _ in range(4000):
        values = np.repeat(rng.standard_normal(4), counts)
        found = estimate(values.tolist(), names)
        assert found is not None and found.low is not None and found.high is not None
        assert found.mean == pytest.approx(values.mean()) and found.high - found.mean == pytest.approx(
            found.mean - found.low
        )
        halves.append(found.high - found.mean)
        means.append(found.mean)
    projection = np.eye(4) - weights
    form = projection.T @ np.diag(weights**2 / (1 - 2 * weights + weights @ weights)) @ projection
    degrees = np.trace(form) ** 2 / np.trace(form @ form)
    standard_errors = np.array(halves) / stats.t.ppf(0.975, degrees)
    assert np.mean(standard_errors**2) == pytest.approx(weights @ weights, rel=0.06)
    assert np.var(means) == pytest.approx(weights @ weights, rel=0.06)


def test_equal_values_are_a_point_one_group_has_no_interval_and_no_values_no_mean():
    same = estimate([2.0] * 6, list("aabbcc"))
    assert (same.mean, same.low, same.high, same.clips, same.groups) == (2.0, 2.0, 2.0, 6, 3)
    one = estimate([1.0, 3.0], ["a", "a"])
    assert (one.mean, one.low, one.high) == (2.0, None, None)
    assert estimate([], []) is None
    alone = paired_difference({"x": 1.0, "y": 2.0}, {"x": 0.5, "y": 1.0}, {"x": "a", "y": "a"})
    assert (alone.low, alone.high, alone.p) == (None, None, None)
    assert paired_difference({"x": 1.0}, {"x": None}, {"x": "a"}) is None


def test_more_clips_of_the_same_groups_are_no_more_evidence():
    values = np.random.default_rng(1).standard_normal(10)
    wide = estimate(list(np.repeat(values, 20)), [str(i) for i in np.repeat(np.arange(10), 20)])
    few = estimate(list(values), [str(i) for i in range(10)])
    assert wide.high - wide.low == pytest.approx(few.high - few.low)


def test_a_clip_of_weight_three_counts_like_three_clips():
    rng = np.random.default_rng(6)
    values, groups, weights = rng.standard_normal(12), rng.choice(list("abcd"), 12), rng.integers(1, 6, 12)
    found = estimate(list(values), list(groups), list(weights))
    again = estimate(list(np.repeat(values, weights)), list(np.repeat(groups, weights)))
    assert (found.mean, found.low, found.high) == pytest.approx((again.mean, again.low, again.high))
    names = [f"clip {i}" for i in range(12)]
    pair = paired_difference(
        dict(zip(names, values)), dict.fromkeys(names, 0.5), dict(zip(names, groups)), dict(zip(names, weights))
    )
    assert (pair.mean, pair.low) == pytest.approx((found.mean - 0.5, found.low - 0.5)) and pair.clips == 12
    gap = estimate_gap(
        GroupedValues(list(values), list(groups), list(weights)), GroupedValues([1.0, 3.0], ["x", "y"], [3, 1])
    )
    assert gap.mean == pytest.approx(found.mean - 1.5)


@pytest.mark.parametrize("count", (4, 10, 40))
def test_rates_of_errors_over_words_are_ratios_of_sums_whose_intervals_cover(count):
    """Speakers differ in their error rate and in how much they say; clips are of 2 to 40 words."""
    rng = np.random.default_rng(count)
    hits, trials = 0, 1000
    for _ in range(trials):
        index = np.repeat(np.arange(count), rng.integers(3, 11, count))
        words = rng.integers(2, 41, len(index))
        errors = rng.binomial(words, np.clip(0.35 + 0.1 * rng.standard_normal(count), 0, 1)[index])
        found = estimate(list(errors / words), [str(group) for group in index], words.tolist())
        assert found.mean == pytest.approx(errors.sum() / words.sum())
        hits += found.low <= 0.35 <= found.high
    assert hits / trials >= 0.93


def test_the_gap_of_two_halves_is_that_of_welch():
    rng = np.random.default_rng(0)
    first, second = rng.normal(3.0, 1.0, 12), rng.normal(1.0, 2.0, 7)
    found = estimate_gap(
        GroupedValues(list(first), [str(i) for i in range(12)]),
        GroupedValues(list(second), [f"other {i}" for i in range(7)]),
    )
    wanted = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    assert found.mean == pytest.approx(first.mean() - second.mean())
    assert [found.low, found.high] == pytest.approx([wanted.low, wanted.high])
    one, other = GroupedValues([1.0], ["a"]), GroupedValues([3.0], ["b"])
    assert estimate_gap(one, GroupedValues([], [])) is None and estimate_gap(one, other).low is None


def test_p_values_are_those_of_the_t_test_and_holm_corrects_for_their_number():
    rng = np.random.default_rng(0)
    differences, wanted = [], []
    for shift in (0.0, 1.0, 3.0):
        values = {str(i): value for i, value in enumerate(rng.standard_normal(9) + shift)}
        differences.append(paired_difference(values, dict.fromkeys(values, 0.0), {name: name for name in values}))
        wanted.append(stats.ttest_1samp(list(values.values()), 0.0).pvalue)
    assert [found.p for found in differences] == pytest.approx(wanted)
    assert holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.03), None, pytest.approx(0.06), pytest.approx(0.06)]
    assert holm([]) == [] and holm([0.9, 0.8]) == [1.0, 1.0]


@pytest.mark.parametrize("count", (4, 6, 10, 20))
def test_thirty_rivals_that_are_no_better_are_called_better_in_few_searches(count):
    """One at a time at 5 %, one or more of them would be in 68 to 97 % of all searches."""
    rng = np.random.default_rng(count)
    groups = {f"{group}-{clip}": str(group) for group in range(count) for clip in range(3)}
    better = any_side = 0
    for _ in range(300):
        runs = 0.5 * np.repeat(rng.standard_normal((31, count)), 3, axis=1) + 0.5 * rng.standard_normal((31, 3 * count))
        scores = [dict(zip(groups, run.tolist())) for run in runs]
        found = [paired_difference(score, scores[0], groups) for score in scores[1:]]
        signs = significant_signs([difference for difference in found if difference is not None])
        better += 1 in signs
        any_side += any(signs)
    assert better / 300 <= 0.06 and any_side / 300 <= 0.09


def test_a_rival_that_is_clearly_better_is_still_found_among_thirty():
    rng = np.random.default_rng(0)
    groups = {str(group): str(group) for group in range(10)}
    reference = dict(zip(groups, rng.standard_normal(10).tolist()))
    rivals = [{clip: value + 0.2 * rng.standard_normal() for clip, value in reference.items()} for _ in range(30)]
    rivals[7] = {clip: value + 1.0 for clip, value in rivals[7].items()}
    found = [paired_difference(rival, reference, groups) for rival in rivals]
    assert [place for place, sign in enumerate(significant_signs(found)) if sign == 1] == [7]


def test_one_group_decides_nothing_and_the_number_of_comparisons_is_stated():
    untested = PairedDifference(5.0, None, None, 3, 1, None)
    sure = PairedDifference(-1.0, -1.1, -0.9, 30, 10, SIGNIFICANCE / 2.5)
    assert significant_signs([untested, sure, sure]) == [0, -1, -1]
    assert significant_signs([sure, sure, sure]) == [0, 0, 0]
    assert "7" in describe_correction(7) and "correction" not in describe_correction(1)


def test_a_paired_difference_is_the_mean_of_the_differences_over_the_clips_that_both_have():
    rng = np.random.default_rng(1)
    groups = {f"c{i}": f"g{i % 9}" for i in range(40)}
    level = {group: rng.normal() for group in groups.values()}
    reference: dict[str, float | None] = {clip: rng.normal(3, 1) for clip in groups}
    values: dict[str, float | None] = {
        clip: other + 0.5 + 0.3 * level[groups[clip]] + 0.1 * rng.normal()
        for clip, other in reference.items()
        if other is not None
    }
    values["c3"] = reference["c4"] = None
    values["stray"] = 100.0  # judged here alone
    found = paired_difference(values, reference, groups)
    differences = {
        clip: one - other
        for clip in groups
        if (one := values[clip]) is not None and (other := reference[clip]) is not None
    }
    wanted = estimate(list(differences.values()), [groups[clip] for clip in differences])
    assert found is not None and wanted is not None and (found.clips, found.groups) == (38, 9)
    assert found.mean == pytest.approx(np.mean(list(differences.values())))
    assert (found.low, found.high) == (wanted.low, wanted.high)


@pytest.mark.parametrize("count", (3, 5, 10))
def test_intervals_of_distances_are_above_zero_and_cover_as_those_of_the_mean(count):
    rng = np.random.default_rng(count)
    hits = [0, 0]
    for _ in range(600):
        values = rng.exponential(1.0, count).tolist()
        plain = estimate(values, [str(i) for i in range(count)])
        assert plain is not None and plain.low is not None and plain.high is not None
        shown = reported(plain, is_distance=True)
        assert shown.low is not None and shown.high is not None and 0 < shown.low <= shown.mean <= shown.high
        hits[0] += plain.low <= 1 <= plain.high
        hits[1] += shown.low <= 1 <= shown.high
    assert hits[1] >= hits[0] - 6  # of 600


def test_two_groups_show_no_interval():
    found = estimate([1.0, 2.0], ["a", "b"])
    assert found is not None and found.low is not None
    shown = reported(found, is_distance=False)
    assert (shown.mean, shown.low, shown.high) == (1.5, None, None)
