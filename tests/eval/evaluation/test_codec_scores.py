"""Scores of a codec, and the halves of validation groups."""

import json

import pytest

from eval.evaluation.clip_selection import selects
from eval.evaluation.codec_scores import ClipScores, CodecScores, mean_over_clips, read_scores, write_scores
from eval.metrics.registry import Score


def test_halves_share_no_group_and_depend_on_names_alone():
    clips = [ClipScores(f"c{i}", f"g{i % 20}", 1.0, 1.0, {"mel": Score(1.0)}) for i in range(40)]
    scores = CodecScores(1.0, 1, 1.0, clips)
    parts = [scores.half(selecting=selecting) for selecting in (True, False)]
    groups = [{clip.group for clip in part.clips} for part in parts]
    assert not groups[0] & groups[1] and sum(len(part.clips) for part in parts) == 40 and all(groups)
    assert selects("voice06") and not selects("voice14")


def test_the_mean_leaves_out_clips_for_which_the_metric_is_not_defined():
    clips = [ClipScores(f"c{i}", "g", 1.0, 1.0, {"mel": Score(value)}) for i, value in enumerate([1.0, None, 3.0])]
    scores = CodecScores(1.0, 1, 1.0, clips)
    assert mean_over_clips([scores], "mel") == 2.0 and mean_over_clips([scores], "pesq") is None


def test_word_error_rates_are_errors_over_words():
    errors, words = (0, 3, 2), (10, 4, 6)
    scores = [Score(100 * wrong / count, weight=float(count)) for wrong, count in zip(errors, words)]
    clips = [ClipScores(f"c{i}", "g", 1.0, 1.0, {"wer": score}) for i, score in enumerate(scores)]
    clips += [ClipScores("without text", "g", 1.0, 1.0, {})]
    assert mean_over_clips([CodecScores(1.0, 1, 1.0, clips)], "wer") == pytest.approx(100 * sum(errors) / sum(words))


def test_scores_by_other_rules_or_for_another_request_are_not_read(tmp_path):
    values = [Score(2.0), Score(1.0, "silent decode"), Score(None, "empty")]
    clips = [ClipScores(f"c{i}", "g", 4.0, 12000.0, {"pesq": value}) for i, value in enumerate(values)]
    path, scores = tmp_path / "scores.json", [CodecScores(3.0, 6, 3.0, clips)]
    write_scores(path, scores, {"clips": 3})
    assert read_scores(path, {"clips": 3}) == scores and read_scores(path, {"clips": 4}) is None
    content = json.loads(path.read_text())
    del content["scoring"]
    path.write_text(json.dumps(content))
    assert read_scores(path, {"clips": 3}) is None
