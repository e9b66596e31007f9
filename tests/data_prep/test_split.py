"""Splits: ratios, groups that keep their split, duplicates (property-based)."""

import random
from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.errors import UserError
from data_prep.split_ratios import SPLITS, SplitRatios
from tests.helpers.splits import MadeClip, MadeSplits, split_clips

RATIOS = st.sampled_from(["8:1:1", "9:0.5:0.5", "6:2:2", "1:1:1", "5:3:2", "90:10:0"])


def clips_of(groups: dict[str, list[float]], domain: str = "speech") -> list[MadeClip]:
    return [
        MadeClip(f"/{group}/{number}", group, domain, seconds, f"{domain} {group} {number}")
        for group, lengths in groups.items()
        for number, seconds in enumerate(lengths)
    ]


def known_from(clips: list[MadeClip], result: MadeSplits) -> list[MadeClip]:
    return [replace(clip, split=result.splits[clip.group]) for clip in clips if clip.path not in result.rejected]


LENGTHS = st.lists(st.floats(0.5, 600), min_size=1, max_size=4)
DOMAINS = st.dictionaries(
    st.sampled_from(["speech", "music", "general"]),
    st.dictionaries(st.integers(0, 99).map("g{}".format), LENGTHS, min_size=3, max_size=40),
    min_size=1,
)


@settings(deadline=None)
@given(domains=DOMAINS, ratios=RATIOS, seed=st.integers(0, 9))
def test_every_domain_is_in_ratio_within_its_largest_group(
    domains: dict[str, dict[str, list[float]]], ratios: str, seed: int
) -> None:
    clips = [
        clip
        for domain, groups in domains.items()
        for clip in clips_of({f"{domain}/{name}": lengths for name, lengths in groups.items()}, domain)
    ]
    result = split_clips(clips, SplitRatios.parse(ratios), seed=seed)
    if result.filled:
        return
    for domain in domains:
        members = [clip for clip in clips if clip.domain == domain]
        groups: dict[str, float] = defaultdict(float)
        for clip in members:
            groups[clip.group] += clip.seconds
        total = sum(groups.values())
        for split in SPLITS:
            held = sum(seconds for group, seconds in groups.items() if result.splits[group] == split)
            deviation = abs(held - SplitRatios.parse(ratios).share(split) * total)
            assert deviation <= max(groups.values()) * (1 + 1e-9) + 1e-6


@settings(deadline=None)
@given(
    groups=st.dictionaries(st.integers(0, 999).map(str), LENGTHS, min_size=1, max_size=30),
    seed=st.integers(0, 9),
    shuffle=st.randoms(use_true_random=False),
)
def test_file_order_does_not_matter(groups: dict[str, list[float]], seed: int, shuffle: random.Random) -> None:
    clips = clips_of(groups)
    mixed = shuffle.sample(clips, len(clips))
    ratios = SplitRatios.parse("8:1:1")
    assert split_clips(clips, ratios, seed=seed) == split_clips(mixed, ratios, seed=seed)


@settings(deadline=None)
@given(
    first=st.dictionaries(st.integers(0, 30).map(str), LENGTHS, min_size=1, max_size=20),
    second=st.dictionaries(st.integers(0, 60).map(str), LENGTHS, min_size=1, max_size=20),
    ratios=RATIOS,
)
def test_a_group_never_moves(first: dict[str, list[float]], second: dict[str, list[float]], ratios: str) -> None:
    clips = clips_of(first)
    before = split_clips(clips, SplitRatios.parse("8:1:1"))
    more = clips_of({**second, **first})
    after = split_clips(more, SplitRatios.parse(ratios), seed=1, known=known_from(clips, before))
    assert {group: after.splits[group] for group in before.splits} == before.splits


@settings(deadline=None)
@given(contents=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 12), st.booleans()), min_size=1, max_size=40))
def test_the_same_samples_are_never_in_two_splits(contents: list[tuple[int, int, bool]]) -> None:
    """Clips arrive in two runs; the same content appears in several groups."""
    every = [
        MadeClip(f"/{group}/{number}", f"g{group}", "speech", 1.0 + content, f"content {content}")
        for number, (group, content, _) in enumerate(contents)
    ]
    early = [clip for clip, (_, _, first) in zip(every, contents, strict=True) if first]
    ratios = SplitRatios.parse("1:1:1")
    before = split_clips(early, ratios)
    after = split_clips(every, ratios, known=known_from(early, before))
    homes: dict[str, set[str]] = defaultdict(set)
    for clips, result in ((early, before), (every, after)):
        for clip in clips:
            if clip.path not in result.rejected:
                homes[clip.sha256].add(result.splits[clip.group])
    assert all(len(splits) == 1 for splits in homes.values())
    for clip in early:
        if clip.path not in before.rejected:
            assert clip.path not in after.rejected


def test_a_new_duplicate_of_another_split_is_rejected() -> None:
    clips = clips_of({str(number): [10.0] for number in range(30)})
    before = split_clips(clips, SplitRatios.parse("8:1:1"))
    held_out = next(clip for clip in clips if before.splits[clip.group] == "test")
    trained = next(clip for clip in clips if before.splits[clip.group] == "train")
    copy = MadeClip("/copy", trained.group, "speech", 10.0, held_out.sha256)
    # The original has left the sources: only the manifest remembers it.
    rest = [clip for clip in clips if clip is not held_out]
    after = split_clips([*rest, copy], SplitRatios.parse("8:1:1"), known=known_from(clips, before))
    assert after.rejected == {
        "/copy": f"duplicate: same samples as {held_out.path}, which is in test; "
        f"its own group {trained.group} is in train"
    }


def test_moved_files_keep_their_split() -> None:
    clips = clips_of({str(number): [10.0] for number in range(30)})
    before = split_clips(clips, SplitRatios.parse("6:2:2"))
    renamed = [
        MadeClip(f"/new{clip.path}", f"new {clip.group}", clip.domain, clip.seconds, clip.sha256) for clip in clips
    ]
    after = split_clips(renamed, SplitRatios.parse("6:2:2"), known=known_from(clips, before))
    assert all(after.splits[f"new {group}"] == split for group, split in before.splits.items())


def test_a_new_group_goes_to_the_split_that_lacks_most() -> None:
    clips = clips_of({str(number): [10.0] for number in range(100)})
    before = split_clips(clips, SplitRatios.parse("8:1:1"))
    kept = [clip for clip in clips if before.splits[clip.group] != "val"]
    known = [known for known in known_from(clips, before) if known.split != "val"]
    after = split_clips(
        [*kept, MadeClip("/new", "new", "speech", 10.0, "new")], SplitRatios.parse("8:1:1"), known=known
    )
    assert after.splits["new"] == "val"


def test_one_large_group_does_not_fill_a_small_split() -> None:
    clips = clips_of({"crowd": [90.0], **{str(number): [1.0] for number in range(910)}})
    for seed in range(10):
        assert split_clips(clips, SplitRatios.parse("8:1:1"), seed=seed).splits["crowd"] == "train"


def test_advice_if_the_ratios_cannot_be_met() -> None:
    ratios = SplitRatios.parse("8:1:1")
    three = split_clips(clips_of({"a": [9.0], "b": [8.0], "c": [1.0]}), ratios)
    assert set(three.splits.values()) == set(SPLITS)
    assert three.filled == ("test",)
    two = split_clips(clips_of({"a": [9.0], "b": [8.0]}), ratios)
    assert len(set(two.splits.values())) == 2 and two.filled == ("val",)
    assert any("6:2:2" in line for line in two.advice)
    many = split_clips(clips_of({str(number): [1.0] for number in range(200)}), ratios)
    assert many.advice == ()
    clips = clips_of({str(number): [1.0] for number in range(200)})
    moved = split_clips(clips, SplitRatios.parse("1:1:1"), known=known_from(clips, many))
    assert len(moved.advice) == 1 and "new --out" in moved.advice[0]


def test_ratios_are_shares() -> None:
    assert SplitRatios.parse("9:0.5:0.5") == SplitRatios(0.9, 0.05, 0.05)
    assert SplitRatios.parse("6:2:2") == SplitRatios(0.6, 0.2, 0.2)
    for text in ("8:1", "a:b:c", "8:-1:1", "nan:1:1", "8:1:1:1", ""):
        with pytest.raises(UserError, match="train:val:test"):
            SplitRatios.parse(text)
