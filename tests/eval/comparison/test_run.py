"""``codec compare`` from plan to tables: real comparisons of tiny codecs."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from codec.cli import main
from codec.dataset.ledger import count_candidates
from codec.dataset.location import open_split
from codec.errors import UserError
from codec.pretrained.checkpoint import load_codec
from codec.training.trainer import train
from eval.comparison.plan import PlanOverrides
from eval.comparison.report import comparison_markdown
from eval.comparison.run import compare
from eval.evaluation.clip_selection import choose_excerpts
from eval.metrics.registry import metric
from eval.systems.trainable_peers import PEERS
from tests.helpers.plans import TINY_SETTINGS, write_comparison_plan


@pytest.fixture(autouse=True, scope="module")
def quick_scoring():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eval.evaluation.candidate_scoring.TABLE_CLIPS", 3)
        patch.setattr("eval.evaluation.clip_selection.MIN_EXCERPT_S", 3.0)  # the small corpus has few longer clips
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory, prepared) -> Path:
    """The folder of a comparison that was interrupted in its second run and continued."""
    folder = tmp_path_factory.mktemp("comparison")
    plan, out, before = write_comparison_plan(folder), folder / "out", count_candidates(prepared)

    def interrupted(recipe, data, run, **options):
        if "power" in run.name:
            raise KeyboardInterrupt
        return train(recipe, data, run, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eval.comparison.run.train", interrupted)
        with pytest.raises(KeyboardInterrupt):
            compare(plan, prepared, out)
    kept = (out / "runs/ours-seed0/model/model.safetensors").stat().st_mtime_ns
    with pytest.raises(SystemExit, match="0"):
        main(["compare", plan, "--data", str(prepared), "--out", str(out)])
    assert (out / "runs/ours-seed0/model/model.safetensors").stat().st_mtime_ns == kept
    assert count_candidates(prepared) == before + 3
    return out


@pytest.fixture(scope="module")
def result(finished) -> dict:
    return json.loads((finished / "comparison.json").read_text())


@pytest.fixture(scope="module")
def rows(result) -> dict:
    return {(row["candidate"], row["asked_kbps"]): row for row in result["rates"]}


def test_every_run_of_the_plan_is_trained_and_named(finished, result, prepared):
    plan = finished.parent / "plan.yaml"
    assert result["command"] == f"codec compare {plan} --data {prepared} --out {finished}"
    assert [len(candidate["runs"]) for candidate in result["candidates"]] == [1, 2]
    assert all(run["steps"] == 6 for candidate in result["candidates"] for run in candidate["runs"])
    assert (finished / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_real_bit_rates_are_below_nominal_ones_and_training_losses_are_marked(rows):
    assert len(rows) == 4 and {row["codebooks"] for row in rows.values()} == {1, 3}
    for (candidate, asked), row in rows.items():
        assert 0 < row["kbps"] < 1.2 * row["nominal_kbps"] == pytest.approx(1.2 * asked)
        assert row["metrics"]["mel"]["trained_on"] == (candidate == "ours")
        assert (row["metrics"]["mel"]["difference"] is None) == (candidate == "ours")


def test_differences_are_to_the_first_candidate_and_values_means_over_seeds(rows, result):
    ours, other = rows["ours", 0.6]["metrics"]["mel"], rows["no power law", 0.6]["metrics"]["mel"]
    assert other["difference"]["mean"] == pytest.approx(other["value"]["mean"] - ours["value"]["mean"])
    assert result["clips"] == result["groups"] == 3 and other["difference"]["low"] is not None
    seeds = [means["mel"] for means in rows["no power law", 0.6]["seeds"].values()]
    assert seeds[0] != seeds[1] and np.mean(seeds) == pytest.approx(other["value"]["mean"])


def test_the_page_has_the_command_and_the_numbers(finished, result, rows):
    page = (finished / "comparison.md").read_text()
    assert result["command"] in page and "## Seeds" in page and "GMAC/s" in page
    assert f"| ours | 3 | {rows['ours', 0.6]['kbps']:.2f} (0.60) |" in page
    assert f"{rows['ours', 0.6]['metrics']['mel']['value']['mean']:.2f} †" in page


def test_bounds_of_candidates_stand_in_a_table_of_their_own(finished, result, prepared):
    bounds = {(row["candidate"], row["bound"]): row["metrics"]["mel"]["mean"] for row in result["bounds"]}
    names = ["without quantizer", "KLT alone"]
    assert list(bounds) == [(candidate["name"], name) for candidate in result["candidates"] for name in names]
    codec = load_codec(finished / "runs/ours-seed0")
    split = open_split(prepared, "val", codec.config.sample_rate, 1)
    values = []
    for clip in choose_excerpts(split, result["clips"]):
        latent = codec.stream_encoder(1, quantize=False)
        latents = np.concatenate([latent.push(clip.waveform[None]).codes, latent.flush().codes], 2)
        decoder = codec.stream_decoder(1, quantized=False)
        decoded = np.concatenate([decoder.push(latents), decoder.flush()], 2)[0, :, : clip.waveform.shape[1]]
        values.append(metric("mel").score(clip.waveform, decoded, codec.config.sample_rate).value)
    assert bounds["ours", "without quantizer"] == pytest.approx(np.mean(values), abs=1e-4)
    page = (finished / "comparison.md").read_text()
    assert page.index("## Bounds") > page.index("## About") and "| ours | KLT alone |" in page


def test_some_candidates_can_be_trained_alone_and_other_runs_are_not_mixed_in(tmp_path, prepared, monkeypatch):
    plan, out = write_comparison_plan(tmp_path), tmp_path / "out"
    found = compare(plan, prepared, out, PlanOverrides(seeds=[3], only=["no power law"]))
    assert [len(candidate.runs) for candidate in found.candidates] == [0, 1]
    assert "seed 3" in found.candidates[0].state
    assert found.rates[0].metrics["mel"].difference is None
    assert "--seeds 3 --only 'no power law'" in found.command

    monkeypatch.setattr("eval.comparison.run.train", lambda *_, **__: pytest.fail("it must not train"))
    with pytest.raises(UserError, match=f"{out}.*steps"):
        compare(plan, prepared, out, PlanOverrides(steps=9, seeds=[3]))
    changed = write_comparison_plan(tmp_path, settings={**TINY_SETTINGS, "optim.lr": 0.1})
    with pytest.raises(UserError, match=f"{out}.*recipe"):
        compare(changed, prepared, out, PlanOverrides(seeds=[3]))


def test_one_of_several_processes_is_refused(tmp_path, prepared, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(UserError, match="one process"):
        compare(write_comparison_plan(tmp_path), prepared, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_candidate_that_fails_is_listed_and_the_others_go_on(tmp_path, prepared, capsys):
    diverging = {"settings": {"optim.lr": 10.0, "optim.clip_norm": 1e9, "optim.warmup_steps": 0}}
    plan = write_comparison_plan(tmp_path, candidates={"wild": diverging, "ours": {}}, clips=1, kbps=[0.6])
    with pytest.raises(SystemExit, match="1"):
        main(["compare", plan, "--data", str(prepared), "--out", str(tmp_path / "out"), "--quiet"])
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 1 and str(tmp_path / "out/comparison.md") in printed.out
    assert "wild-seed0 failed" in printed.err and "ours-seed0" not in printed.err
    found = json.loads((tmp_path / "out/comparison.json").read_text())
    assert found["failed"] and "seed 0 failed" in found["candidates"][0]["state"]
    assert [len(candidate["runs"]) for candidate in found["candidates"]] == [0, 1]
    assert "- wild: seed 0 failed" in (tmp_path / "out/comparison.md").read_text()


def test_a_time_limit_ends_the_training_and_the_curve_has_the_minutes(tmp_path, prepared):
    out = tmp_path / "out"
    found = compare(write_comparison_plan(tmp_path), prepared, out, PlanOverrides(minutes=0.02, only=["ours"]))
    run = found.candidates[0].runs[0]
    assert "0.02 minutes" in run.stopped and run.minutes >= 0.02
    with (out / "runs/ours-seed0/metrics.csv").open(newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["split"] == "val"]
    minutes = [float(line["value"]) for line in lines if line["term"] == "minutes"]
    assert len(minutes) == len([line for line in lines if line["term"] == "mel"]) and minutes == sorted(minutes)
    assert minutes[-1] == pytest.approx(run.minutes)


def test_peers_that_are_not_installed_are_listed_with_the_way_to_install_them(tmp_path, prepared, monkeypatch):
    monkeypatch.setitem(PEERS, "encodec", replace(PEERS["encodec"], module="nowhere_to_be_found"))
    candidates = {"ours": {}, "theirs": {"architecture": "encodec"}}
    plan = write_comparison_plan(tmp_path, candidates=candidates, clips=1, kbps=[0.6])
    found = compare(plan, prepared, tmp_path / "out")
    assert not found.failed and not found.candidates[1].runs
    assert "pip install 'lathe-codec[peers]'" in found.candidates[1].state
    assert "- theirs: " in comparison_markdown(found)


@pytest.mark.parametrize("name", list(PEERS))
def test_peers_are_trained_with_our_loop(tmp_path, prepared, name):
    if PEERS[name].absent:
        pytest.skip(PEERS[name].install)
    candidate = {"architecture": name, "width": 2}
    plan = write_comparison_plan(tmp_path, candidates={"theirs": candidate}, steps=2, clips=1, kbps=[0.6])
    found = compare(plan, prepared, tmp_path / "out")
    assert not found.failed and found.candidates[0].width == 2 and found.rates[0].codebooks == 3
    assert np.isfinite(found.rates[0].metrics["mel"].value.mean)
    assert not list((tmp_path / "out").rglob("config.json"))  # the folder cannot be mistaken for a model of ours


def test_peers_have_strides_for_some_hops_only(tmp_path, prepared):
    if PEERS["encodec"].absent:
        pytest.skip(PEERS["encodec"].install)
    candidate = {"architecture": "encodec", "settings": {"codec.hop": 200}}
    with pytest.raises(UserError, match="200"):
        compare(write_comparison_plan(tmp_path, candidates={"theirs": candidate}), prepared, tmp_path / "out")
