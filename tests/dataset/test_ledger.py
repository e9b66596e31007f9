"""The ledger of the sealed test split: nothing that is written into it is lost, whoever writes at the same time."""

import itertools
import json
import multiprocessing

import pytest

from codec.dataset.ledger import (
    LEDGER_FILE,
    SealedError,
    count_candidates,
    open_ledger,
    read_ledger,
    record_candidate,
    record_result,
)
from codec.errors import UserError


def open_and_record(data, barrier, number):
    opening, _ = open_ledger(data, run=f"r{number}", weights=[f"w{number}"], purpose="evaluation", again=True)
    barrier.wait(60)  # all are open before any result is there
    record_candidate(data, f"r{number}")
    record_result(data, opening.key, {"mel": number, "padding": "x" * 20_000})


def test_evaluations_that_overlap_keep_every_opening_and_every_result(tmp_path):
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(4)
    processes = [context.Process(target=open_and_record, args=(tmp_path, barrier, i)) for i in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    found = read_ledger(tmp_path)
    assert {entry.run: entry.result["mel"] for entry in found} == {f"r{i}": i for i in range(4)}
    assert len({entry.key for entry in found}) == 4 and count_candidates(tmp_path) == 4


def test_of_two_models_at_the_same_time_one_opens_it(tmp_path):
    open_ledger(tmp_path, run="a", weights=["a"], purpose="evaluation")
    with pytest.raises(SealedError):
        open_ledger(tmp_path, run="b", weights=["b"], purpose="evaluation")
    _, before = open_ledger(tmp_path, run="a", weights=["a"], purpose="evaluation")
    assert [entry.run for entry in before] == ["a"]


def test_lines_are_only_ever_added_and_older_ones_are_read(tmp_path):
    older = {"opened": "2026-01-02T00:00:00+00:00", "purpose": "evaluation", "weights": ["ab"], "run": "r"}
    (tmp_path / LEDGER_FILE).write_text(json.dumps({**older, "result": {"mel": 1.0}}) + "\n")
    written = [(tmp_path / LEDGER_FILE).read_bytes()]
    opening, _ = open_ledger(tmp_path, run="r", weights=["ab"], purpose="evaluation")
    for result in ({"mel": 2.0}, {"mel": 3.0}):
        written.append((tmp_path / LEDGER_FILE).read_bytes())
        record_result(tmp_path, opening.key, result)
    written.append((tmp_path / LEDGER_FILE).read_bytes())
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(written))
    assert [entry.result for entry in read_ledger(tmp_path)] == [{"mel": 1.0}, {"mel": 3.0}]
    with pytest.raises(UserError):
        record_result(tmp_path, "another", {})


@pytest.mark.parametrize(
    "line", ["{", "[" * 100_000, "[]", '{"opened": 1}', '{"result_of": "x", "recorded": "", "result": {}}', "\xff"]
)
def test_a_damaged_line_is_named_and_the_next_does_not_join_it(tmp_path, line):
    (tmp_path / LEDGER_FILE).write_bytes(line.encode("latin-1"))
    with pytest.raises(UserError, match="line 1 is damaged") as error:
        read_ledger(tmp_path)
    assert "\n" not in str(error.value)
    record_candidate(tmp_path, "a")
    with (tmp_path / "candidates.jsonl").open("a") as file:
        file.write('{"time": "2026')
    record_candidate(tmp_path, "b")
    assert [text[:6] for text in (tmp_path / "candidates.jsonl").read_text().splitlines()] == ['{"time'] * 3
    with pytest.raises(UserError, match="line 2 is damaged"):
        count_candidates(tmp_path)
