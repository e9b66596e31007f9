"""JSON from someone else: each wrong value is a single line that names the file, whatever is wrong with it."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from codec.errors import UserError
from codec.pretrained.checkpoint import load_codec
from codec.pretrained.model_folder import CONFIG, read_training_info
from codec.runtime.json_files import MAX_NUMBER, from_json, parse_json
from eval.pages.combined_page import write_combined_page
from eval.search.locks import FileLocks
from eval.search.pick import pick_candidate
from eval.search.plan import SearchPlan
from eval.search.store import CandidateStore

DEEP = "[" * 200_000
WRONG = ["a text", {}, [], None, True, float("nan"), float("inf"), 1e308, -1e308, 10**400]


@dataclass(frozen=True)
class Inner:
    number: float
    kind: Literal["a", "b"] = "a"


@dataclass(frozen=True)
class Outer:
    count: int
    inner: Inner
    several: list[Inner] = field(default_factory=list)
    named: dict[str, float | None] = field(default_factory=dict)
    place: Path | None = None
    anything: Any = None


def test_a_dataclass_comes_back_as_it_was_and_more_keys_do_not_matter():
    content = {
        "count": 3, "inner": {"number": 2, "kind": "b", "new": 1}, "several": [{"number": 0.5}],
        "named": {"x": None, "y": 1}, "place": "/a", "anything": [1], "more": {},
    }  # fmt: skip
    wanted = Outer(3, Inner(2.0, "b"), [Inner(0.5)], {"x": None, "y": 1.0}, Path("/a"), [1])
    assert from_json(Outer, parse_json(json.dumps(content))) == wanted


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ([], "whole"),
        ({"inner": {"number": 1}}, "count"),
        ({"count": 1.5, "inner": {"number": 1}}, "count"),
        ({"count": True, "inner": {"number": 1}}, "count"),
        ({"count": 1, "inner": {"number": "1"}}, "inner.number"),
        ({"count": 1, "inner": {"number": MAX_NUMBER}}, "inner.number"),
        ({"count": 1, "inner": {"number": 1, "kind": "c"}}, "inner.kind"),
        ({"count": 1, "inner": {"number": 1}, "several": [{"number": 1}, 2]}, r"several\[1\]"),
        ({"count": 1, "inner": {"number": 1}, "named": {"x": "text"}}, r"named\.x"),
        ({"count": 1, "inner": {"number": 1}, "place": 1}, "place"),
    ],
)
def test_the_field_that_is_wrong_is_named(content, name):
    with pytest.raises(ValueError, match=name) as error:
        from_json(Outer, content)
    assert len(str(error.value)) < 200


def test_what_is_nested_too_deeply_is_no_json():
    for text in (DEEP, '{"a":' * 200_000):
        with pytest.raises(ValueError):
            parse_json(text)


def refused(call, *words) -> str:
    """The message, a line of moderate length."""
    with pytest.raises(UserError) as error:
        call(*words)
    message = str(error.value)
    assert "\n" not in message and len(message) < 1000
    return message


RESULTS = {
    "system": "a", "data": "d", "split": "test", "made": "2030-01-02T03:04:05+00:00", "encode_times_real_time": 9.0,
    "decode_times_real_time": 9.0, "memory_mb": None, "opened_before": 0, "candidates": 1,
    "trained": {"checksum": "c", "parameters": 1, "latency_ms": 40.0}, "operating_point": "all codes", "kbps": 6.0,
    "clips": [{"clip_id": "x", "group": "g", "scores": {}}],
    "diagnosis": {"verdict": "good"},
    "rates": [{
        "system": "a", "point": "all", "domain": "all", "distribution": "in", "metric": "mel", "kbps": 6.0,
        "mean": 1.0, "low": 0.9, "high": 1.1, "groups": 3, "clips": 5, "failed": 0,
    }],
}  # fmt: skip


def places(content: Any, path: tuple = ()) -> list[tuple]:
    """Of every value in it that is no container."""
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    return [place for key, value in inside for place in places(value, (*path, key))] or [path]


def with_value(content: Any, place: tuple, value: Any) -> Any:
    changed = json.loads(json.dumps(content))
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return changed


def test_results_with_any_value_wrong_are_joined_or_refused_in_one_line(tmp_path):
    path = tmp_path / "results.json"
    path.write_text(json.dumps(RESULTS))
    write_combined_page([tmp_path], tmp_path / "page.html")
    assert len(places(RESULTS)) == 30
    made = 0
    for place in places(RESULTS):
        for value in WRONG:
            try:
                path.write_text(json.dumps(with_value(RESULTS, place, value)))
            except ValueError:  # more digits than Python writes
                continue
            try:
                write_combined_page([tmp_path], tmp_path / "page.html")
                made += 1
            except UserError as error:
                assert str(path) in str(error) and "\n" not in str(error) and len(str(error)) < 1000
    assert made < 25  # a text where one belongs, and None where a figure may be unknown
    path.write_text(DEEP)
    assert str(path) in refused(write_combined_page, [tmp_path], tmp_path / "page.html")
    path.write_bytes(b"\xff\xfe{}")
    assert str(path) in refused(write_combined_page, [tmp_path], tmp_path / "page.html")


def test_what_a_search_left_is_refused_in_one_line(tmp_path):
    candidate = CandidateStore(tmp_path, {"a": 1}, SearchPlan(), FileLocks(tmp_path))
    candidate.folder.mkdir(parents=True)
    for text in (DEEP, "{}", '{"footprint": {"size": 1}}', "[]"):
        (candidate.folder / "candidate.json").write_text(text)
        refused(candidate.read)
    (tmp_path / "search.json").write_text('{"plan": {}, "data": "d"}')
    for text in (DEEP, "{}", '{"rows": 1}'):
        (tmp_path / "front.json").write_text(text)
        assert "front.json" in refused(pick_candidate, tmp_path)


def test_a_config_that_is_nested_too_deeply_is_refused_in_one_line(model, tmp_path):
    for name in (CONFIG, "model.safetensors"):
        (tmp_path / name).write_bytes((model / name).read_bytes())
    content = (tmp_path / CONFIG).read_text()
    for text in (DEEP, content.replace('"info": {', '"info": ' + '{"a":' * 200_000), '"x"', "[]"):
        (tmp_path / CONFIG).write_text(text)
        assert str(tmp_path) in refused(load_codec, tmp_path)
        refused(read_training_info, tmp_path)
