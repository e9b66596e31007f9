"""``codec search run`` from plan to front: real searches of tiny codecs, killed, continued and shared."""

import json
import re
import signal
from pathlib import Path

import pytest
import torch

from codec.cli import main
from codec.dataset.ledger import SealedError, count_candidates, read_ledger
from codec.dataset.location import open_split
from codec.errors import UserError
from codec.recipe import read_recipe
from eval.metrics.registry import metric
from eval.search.pick import pick_candidate
from eval.search.run import run_search
from tests.helpers.children import running, wait_for_end, wait_until
from tests.helpers.disk import contents
from tests.helpers.plans import TINY_SETTINGS, make_searches_quick, write_search_plan


def search_in_child(plan: str, data: Path, out: Path) -> None:
    torch.set_num_threads(1)
    make_searches_quick(pytest.MonkeyPatch())
    run_search(plan, data, out)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, prepared) -> Path:
    """The folder of a search with two rungs and two seeds, next to its plan.

    It runs as one of two tasks of SLURM. They share the folder, not a training.
    """
    folder = tmp_path_factory.mktemp("search")
    plan = write_search_plan(folder, rungs=2, factor=2, seeds=[0, 1])
    counted, opened = count_candidates(prepared), len(read_ledger(prepared))
    with pytest.MonkeyPatch.context() as environment, pytest.raises(SystemExit, match="0"):
        for name, value in (("STEP_NUM_TASKS", "2"), ("PROCID", "0"), ("LOCALID", "0"), ("JOB_ID", "1")):
            environment.setenv(f"SLURM_{name}", value)
        main(["search", "run", plan, "--data", str(prepared), "--out", str(folder / "out")])
    trained = len(list((folder / "out/candidates").glob("*/seed[01]")))
    assert count_candidates(prepared) == counted + trained and len(read_ledger(prepared)) == opened
    return folder / "out"


@pytest.fixture(scope="module")
def rows(finished) -> list[dict]:
    return json.loads((finished / "front.json").read_text())["rows"]


def test_each_sampler_proposes_the_default_and_its_other_candidates(rows):
    by_name = {name: row for row in rows for name in row["names"]}
    assert set(by_name) == {"genetic 0", "genetic 1", "random 0", "random 1"} and len(rows) == 3
    default = by_name["genetic 0"]
    assert default["default"] and default is by_name["random 0"] and default["rung"] == 1
    assert default["settings"] == {
        "codec.decoder.width": 16,
        "latent": {"codec.quantizer.latent_dim": 16, "codec.quantizer.codebooks": 3},
        "train.unquantized_share": 0.0,
        "optim.lr": 2.0e-3,
    }


def test_settings_of_one_dimension_are_trained_and_shown_together(finished, rows):
    table = (finished / "front.md").read_text()
    for row in rows:
        recipe = read_recipe(str(finished / "candidates" / row["key"] / "seed0/recipe.yaml"))
        quantizer, latent = recipe.codec.quantizer, row["settings"]["latent"]
        assert [quantizer.latent_dim, quantizer.codebooks] == list(latent.values()) in ([16, 3], [8, 2], [24, 4])
        assert recipe.train.unquantized_share == row["settings"]["train.unquantized_share"]
        assert f"latent_dim {quantizer.latent_dim}, codebooks {quantizer.codebooks}" in table or not row["front"]


def test_promoted_candidates_are_trained_on_and_validated_at_the_end_of_each_rung(finished, rows):
    promoted = [row for row in rows if row["rung"] == 1]
    assert promoted
    for row in promoted:
        run = finished / "candidates" / row["key"] / f"seed{row['seeds'][-1]}"
        assert json.loads((run / "run.json").read_text())["steps"] == 4  # 2 on the first rung and 2 on the second
        steps = [line.split(",")[0] for line in (run / "metrics.csv").read_text().splitlines() if ",val," in line]
        assert {"2", "4"} <= set(steps)


def test_the_front_is_trained_with_every_seed(finished, rows, prepared):
    front = [row for row in rows if row["front"]]
    assert front and all(row["rung"] == 1 and row["seeds"] == [0, 1] for row in front)
    found = json.loads((finished / "front.json").read_text())
    assert found["front_rung"] == 1 and found["gap"] is not None
    assert 0 < found["candidates_on_validation"] <= count_candidates(prepared)


def test_all_reports_list_the_candidates(finished, rows):
    assert (finished / "front.md").read_text().count("\n| default ") == 1
    assert len((finished / "front.csv").read_text().splitlines()) == 1 + len(rows)
    assert (finished / "front.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_loads_nothing_and_has_a_point_for_each_candidate_in_every_chart(finished, rows):
    page = (finished / "front.html").read_text()
    assert not re.search(
        r"https?://(?!www\.w3\.org/2000/svg)|fetch\(|@import|<link(?! rel=\"icon\" href=\"data:,\")", page
    )
    points = json.loads(re.search(r'id="points">(.*?)</script>', page, re.DOTALL)[1])["points"]
    assert {point["key"] for point in points} == {row["key"] for row in rows}
    charts = re.findall(r'data-chart="(\w+)"', page)
    assert charts == ["kbps", "encode", "decode", "parameters", "latency_ms"]
    for row in rows:
        samplers = {name.split()[0] for name in row["names"]}
        for chart in charts:
            for kind in ("genetic", "random", "default"):
                there = f'id="{chart}-{kind}-{row["key"]}"' in page
                assert there == (kind in samplers or (kind == "default" and row["default"]))


def test_a_picked_recipe_has_the_settings_of_the_candidate_and_the_budget_of_the_recipe(finished, rows, tmp_path):
    front = [row for row in rows if row["front"]]
    most, path = max(row["kbps"] for row in front), tmp_path / "r.yaml"
    with pytest.raises(SystemExit, match="0"):
        main(["search", "pick", str(finished), "--max-kbps", str(most), "--min-speed", "1", "--out", str(path)])
    best = min(front, key=lambda row: row["selected"])
    recipe = read_recipe(str(path))
    assert recipe.codec.decoder.width == best["settings"]["codec.decoder.width"]
    assert recipe.optim.lr == best["settings"]["optim.lr"] and recipe.codec.encoder.width == 16
    assert recipe.train.steps > 1000 and recipe.codec.quantizer.contexts > 1
    with pytest.raises(UserError, match=r"\d\.\d\d kbps"):
        pick_candidate(finished, max_kbps=0.001)


def test_a_search_prints_its_result_alone_to_standard_output(finished, prepared, capsys):
    plan = str(finished.parent / "plan.yaml")
    with pytest.raises(SystemExit, match="0"):
        main(["search", "run", plan, "--data", str(prepared), "--out", str(finished)])  # nothing is left to do
    printed = capsys.readouterr()
    assert "default" in printed.out and "validation loss" not in printed.out
    with pytest.raises(SystemExit, match="0"):
        main(["search", "run", plan, "--data", str(prepared), "--out", str(finished), "--quiet"])
    quiet = capsys.readouterr()
    assert len(quiet.out.splitlines()) == 1 and str(finished / "front.html") in quiet.out and not quiet.err


def test_a_search_that_was_killed_goes_on(tmp_path, prepared):
    plan, out = write_search_plan(tmp_path), tmp_path / "out"
    for wanted in ("*/candidate.json", "*/seed0/metrics.csv"):
        with running(search_in_child, plan, prepared, out) as process:
            wait_until(lambda wanted=wanted: list(out.glob(f"candidates/{wanted}")), process)
        assert process.exitcode == -signal.SIGKILL and not (out / "front.json").is_file()
    with (out / "study.journal").open("ab") as journal:
        journal.write(b'{"op_code": 4, "wor')  # as if killed while writing
    result = run_search(plan, prepared, out)
    names = sorted(name for row in result.rows for name in row.names)
    assert names == ["genetic 0", "genetic 1", "random 0", "random 1"] and not result.failed
    again = run_search(plan, prepared, out)  # nothing is left to do
    assert again.rows == result.rows
    with pytest.raises(UserError, match=f"{out}.*steps"):
        run_search(write_search_plan(tmp_path, steps=3), prepared, out)


def test_a_search_is_not_continued_with_another_storage(finished, prepared, tmp_path):
    plan, before = str(finished.parent / "plan.yaml"), contents(finished)
    for _ in range(2):
        with pytest.raises(UserError, match="storage"):
            run_search(plan, prepared, finished, storage=f"sqlite:///{tmp_path / 'other.db'}")
    assert contents(finished) == before


def test_two_processes_share_a_search(tmp_path, prepared):
    plan, out, counted = write_search_plan(tmp_path, candidates=3), tmp_path / "out", count_candidates(prepared)
    mine = []
    with running(search_in_child, plan, prepared, out) as other:
        wait_until(lambda: list(out.glob("candidates/*")), other)
        result = run_search(plan, prepared, out, show=mine.append)
        assert wait_for_end(other) == 0
    assert result.drawn == {"genetic": 3, "random": 3}
    assert 0 < len(mine) < len(result.rows) == 5  # each process scored some
    assert count_candidates(prepared) == counted + 5  # and none was trained twice
    runs = [path.read_text().splitlines() for path in out.glob("candidates/*/seed0/metrics.csv")]
    assert len(runs) == 5 and all(sum(",val,total," in line for line in lines) == 1 for lines in runs)


def test_failed_candidates_are_listed_and_infeasible_ones_pruned(tmp_path, prepared):
    space = {"optim.lr": {"choices": [2.0e-3, 10.0]}, "codec.hop": {"choices": [320, 640]}}
    settings = {**TINY_SETTINGS, "optim.clip_norm": 1e9}  # at the higher rate, losses explode
    plan = write_search_plan(tmp_path, space=space, settings=settings, constraints={"latency_ms": 50})
    result = run_search(plan, prepared, tmp_path / "out")
    assert len(result.rows) == 1 and result.refused > 0 and result.drawn == {"genetic": 2, "random": 2}
    assert len(result.failed) == 1 and all(result.failed.values())
    assert result.rows[0].default and "## Failed" in (tmp_path / "out/front.md").read_text()
    outcomes = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("candidates/*/end.json")]
    pruned = [outcome["reason"] for outcome in outcomes if outcome["refused"]]
    assert pruned and all("80 ms" in reason and "50" in reason for reason in pruned)


def test_a_space_without_feasible_candidates_counts_as_exhausted(tmp_path, prepared, monkeypatch):
    monkeypatch.setattr("eval.search.sampler.MAX_PRUNED_IN_A_ROW", 4)
    monkeypatch.setattr("eval.search.run.measure_memory", lambda codec: 10.0 * codec.config.quantizer.codebooks)
    plan = write_search_plan(tmp_path, constraints={"memory_mb": 9}, candidates=1)
    result = run_search(plan, prepared, tmp_path / "out")
    assert result.rows == [] and result.refused >= 8
    with pytest.raises(UserError, match=str(tmp_path / "out")):
        pick_candidate(tmp_path / "out")


def test_a_search_never_opens_the_test_split(tmp_path, prepared):
    """A search runs without the files of the test split, and the ledger has no new line."""
    opened = len(read_ledger(prepared))
    hidden = [path for path in prepared.rglob("*") if path.name.startswith("test")]
    assert hidden
    for path in hidden:
        path.rename(path.with_name(f"hidden-{path.name}"))
    try:
        result = run_search(write_search_plan(tmp_path, candidates=1), prepared, tmp_path / "out")
    finally:
        for path in hidden:
            path.with_name(f"hidden-{path.name}").rename(path)
    assert len(result.rows) == 1 and len(read_ledger(prepared)) == opened
    with pytest.raises(SealedError):
        open_split(prepared, "test", 16000, 1)


@pytest.mark.skipif(metric("wer").absent, reason="needs the extra speech-metrics")
def test_a_metric_that_needs_texts_is_refused_where_there_are_none(prepared, tmp_path):
    with pytest.raises(UserError, match="text") as error:
        run_search(str(write_search_plan(tmp_path, metric="wer")), prepared, tmp_path / "out")
    assert "\n" not in str(error.value)
