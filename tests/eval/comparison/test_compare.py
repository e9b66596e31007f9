"""``codec compare``: plans, what is trained and kept, the numbers in the tables, peers' networks."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from codec.cli import main
from codec.config import Recipe
from codec.dataset.ledger import count_candidates
from codec.dataset.packed import open_split
from codec.errors import UserError
from codec.model.codec import Codec
from codec.recipe import read_recipe, recipe_names
from codec.training.learning_rate import learning_rate_ratio
from codec.training.trainer import train
from eval.comparison import run as comparing
from eval.comparison.plan import read_plan, trials, within_budget
from eval.comparison.results import Compared, Run, count_comparisons, rate_rows
from eval.comparison.run import compare
from eval.evaluation import candidate_scoring, clip_selection
from eval.evaluation.candidate_scoring import cross_entropy_bits, fit_order_0_tables
from eval.evaluation.clip_selection import choose_excerpts
from eval.evaluation.codec_scores import ClipScores, CodecScores, read_scores, write_scores
from eval.metrics.bootstrap import estimate, paired_difference
from eval.metrics.registry import Score, metric
from eval.systems.complexity import matching_width, measure_complexity
from eval.systems.peer_networks import Peer
from eval.systems.trainable_peers import PEERS, codec_builder
from tests.helpers.tiny import TINY

TINY_SETTINGS = {name[2:]: yaml.safe_load(value) for name, value in (word.split("=") for word in TINY)}
WIDTHS = {name: peer.width for name, peer in PEERS.items()}


@pytest.fixture(autouse=True)
def few_clips(monkeypatch):
    monkeypatch.setattr(candidate_scoring, "TABLE_CLIPS", 3)


def write_plan(folder: Path, **changes: object) -> str:
    plan = {
        "title": "Two of ours",
        "recipe": "quickstart",
        "steps": 6,
        "clips": 3,
        "validations": 2,
        "kbps": [0.6, 0.2],
        "settings": TINY_SETTINGS,
        "candidates": {
            "ours": {},
            "no power law": {"settings": {"codec.power": 1.0, "losses": {"l1": 1.0}}, "seeds": [0, 1]},
        },
    }
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump({**plan, **changes}, sort_keys=False))
    return str(path)


# --- end to end ---------------------------------------------------------------------------------------------


def test_from_plan_to_tables_and_on_after_an_interruption(tmp_path, prepared, monkeypatch, capsys):
    plan, out, before = write_plan(tmp_path), tmp_path / "out", count_candidates(prepared)

    def interrupted(recipe, data, run, **options):
        if "power" in run.name:
            raise KeyboardInterrupt
        return train(recipe, data, run, **options)

    monkeypatch.setattr(clip_selection, "SHORTEST_S", 3.0)  # the small corpus has hardly any longer ones
    monkeypatch.setattr(comparing, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare(plan, prepared, out)
    kept = (out / "runs/ours-seed0/model/model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(comparing, "train", train)

    words = ["compare", plan, "--data", str(prepared), "--out", str(out)]
    with pytest.raises(SystemExit, match="0"):
        main(words)
    assert (out / "runs/ours-seed0/model/model.safetensors").stat().st_mtime_ns == kept
    told = capsys.readouterr()
    assert "no power law-seed1" in told.err and "no power law | 0.2" in told.out
    found = json.loads((out / "comparison.json").read_text())
    assert found["command"] == " ".join(["codec", *words])
    assert found["candidates_on_validation"] == count_candidates(prepared) == before + 3
    assert [len(entry["runs"]) for entry in found["candidates"]] == [1, 2]
    assert all(run["steps"] == 6 for entry in found["candidates"] for run in entry["runs"])
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")

    rows = {(row["candidate"], row["asked_kbps"]): row for row in found["rates"]}
    assert len(rows) == 4 and {row["codebooks"] for row in found["rates"]} == {1, 3}
    for (candidate, asked), row in rows.items():
        assert 0 < row["kbps"] < 1.2 * row["nominal_kbps"] == pytest.approx(1.2 * asked)
        assert row["metrics"]["mel"]["trained_on"] == (candidate == "ours")
        assert (row["metrics"]["mel"]["difference"] is None) == (candidate == "ours")
    ours, other = rows["ours", 0.6]["metrics"]["mel"], rows["no power law", 0.6]["metrics"]["mel"]
    assert other["difference"]["mean"] == pytest.approx(other["value"]["mean"] - ours["value"]["mean"])
    assert found["clips"] == found["groups"] == 3 and other["difference"]["low"] is not None
    seeds = [means["mel"] for means in rows["no power law", 0.6]["seeds"].values()]
    assert seeds[0] != seeds[1] and np.mean(seeds) == pytest.approx(other["value"]["mean"])

    page = (out / "comparison.md").read_text()
    assert found["command"] in page and "## Seed by seed" in page
    assert f"| ours | 3 | {rows['ours', 0.6]['kbps']:.2f} (0.60) |" in page
    assert f"{ours['value']['mean']:.2f} †" in page and "GMAC/s" in page


def test_only_some_and_refusals_to_mix(tmp_path, prepared, monkeypatch, capsys):
    plan, out = write_plan(tmp_path), tmp_path / "out"
    found = compare(plan, prepared, out, seeds=[3], only=["no power law"])
    assert [len(entry.runs) for entry in found.candidates] == [0, 1]
    assert "seed 3 is not trained yet" in found.candidates[0].state
    assert found.rates[0].metrics["mel"].difference is None
    assert "--seeds 3 --only 'no power law'" in found.command

    monkeypatch.setattr(comparing, "train", lambda *_, **__: pytest.fail("it must not train"))
    with pytest.raises(UserError, match="another steps"):
        compare(plan, prepared, out, steps=9, seeds=[3])
    with pytest.raises(UserError, match="another recipe"):
        compare(write_plan(tmp_path, settings={**TINY_SETTINGS, "optim.lr": 0.1}), prepared, out, seeds=[3])


def test_a_candidate_that_fails_does_not_stop_the_others(tmp_path, prepared, capsys):
    diverging = {"settings": {"optim.lr": 10.0, "optim.clip_norm": 1e9, "optim.warmup_steps": 0}}
    plan = write_plan(tmp_path, candidates={"wild": diverging, "ours": {}}, clips=1, kbps=[0.6])
    with pytest.raises(SystemExit, match="1"):
        main(["compare", plan, "--data", str(prepared), "--out", str(tmp_path / "out")])
    page = (tmp_path / "out/comparison.md").read_text()
    assert "- wild: seed 0 failed: the validation loss diverged" in page and "| ours | 3 |" in page


# --- plans --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipe_names("compare"))
def test_plans_of_the_package_are_whole(name):
    plan = read_plan(name)
    planned = trials(plan, WIDTHS)
    assert len({trial.name for trial in planned}) == len(planned) >= len(plan.candidates) > 2
    assert next(iter(plan.candidates)) == "ours"
    assert len({trial.recipe.data.crop_s for trial in planned}) == 1  # so that curves are of the same crops


@pytest.mark.parametrize(
    ("changes", "options", "reason"),
    [
        ({"minutes": 1}, {}, "either minutes or steps"),
        ({"steps": 0}, {}, "either minutes or steps"),
        ({}, {"minutes": -1.0}, "either minutes or steps"),
        ({"candidates": {}}, {}, "no candidates"),
        ({"recipe": "nonsense"}, {}, "no recipe called"),
        ({"clips": 0}, {}, "clips must be above 0"),
        ({"kbps": []}, {}, "kbps must be above 0"),
        ({"candidate": {}}, {}, "did you mean candidates"),
        ({"candidates": {"a/b": {}}}, {}, "becomes a folder"),
        ({"candidates": {"a": {"architecture": "opus"}}}, {}, "opus"),
        ({"candidates": {"a": {"width": 3}}}, {}, "width is a peer's"),
        ({"candidates": {"a": {"architecture": "dac", "width": 0}}}, {}, "at least 1"),
        ({"candidates": {"a": {"settings": {"optim.speed": 3}}}}, {}, "speed"),
        ({"candidates": {"a": {"settings": {"losses": {"loud": 1.0}}}}}, {}, "no loss called loud"),
        ({"candidates": {"a": {"seeds": []}}}, {}, "no seeds"),
        ({}, {"only": ["b"]}, "no candidate called b"),
        ({"settings": {"codec.sample_rate": 24000}}, {}, "24000x1"),
    ],
)
def test_what_can_be_wrong_is_one_line_before_anything_is_trained(
    tmp_path, prepared, monkeypatch, changes, options, reason
):
    monkeypatch.setattr(comparing, "_train", lambda *_: pytest.fail("it must not train"))
    with pytest.raises(UserError, match=reason) as error:
        compare(write_plan(tmp_path, **changes), prepared, tmp_path / "out", **options)
    assert "\n" not in str(error.value)


def test_plan_or_data_that_is_not_there(tmp_path, prepared):
    with pytest.raises(UserError, match="ablation, equal_examples, peers"):
        compare("nonsense", prepared, tmp_path)
    with pytest.raises(UserError, match="no such data folder"):
        compare(write_plan(tmp_path), tmp_path / "nothing", tmp_path)


def test_schedules_fit_the_budget(tmp_path):
    wide = {"settings": {"adversarial.weight": 0.1, "optim.warmup_steps": 100}}
    plan = read_plan(write_plan(tmp_path, candidates={"a": wide, "b": {}}), minutes=2.0)
    first, second = trials(plan, WIDTHS)
    recipe = within_budget(first, plan, 1000)
    assert (recipe.train.max_minutes, recipe.train.validate_every, recipe.train.patience) == (2.0, 500, 0)
    assert recipe.train.steps > 1000 and recipe.optim.warmup_steps == 50 and recipe.adversarial.start_step == 500
    counted = replace(plan, minutes=0.0, steps=40)
    assert within_budget(second, counted, 40).train.steps == 40
    told = replace(first, own_start=True)
    assert within_budget(told, plan, 1000).adversarial.start_step == first.recipe.adversarial.start_step


# --- time ---------------------------------------------------------------------------------------------------


def test_a_budget_of_time_runs_the_learning_rate_down_and_dates_the_curve(tmp_path, prepared):
    out = tmp_path / "out"
    found = compare(write_plan(tmp_path), prepared, out, minutes=0.02, only=["ours"])
    run = found.candidates[0].runs[0]
    assert run.stopped == "the clock: 0.02 minutes" and run.minutes >= 0.02
    with (out / "runs/ours-seed0/metrics.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    minutes = [float(row["value"]) for row in rows if row["term"] == "minutes"]
    assert len(minutes) == len([row for row in rows if row["term"] == "mel"]) and minutes == sorted(minutes)
    assert minutes[-1] == pytest.approx(run.minutes)


def test_the_learning_rate_ends_with_the_time():
    recipe = read_recipe("quickstart", [*TINY, "--optim.warmup_steps=1", "--train.steps=1000"])
    whole = [learning_rate_ratio(recipe, 0, time_share) for time_share in (0.0, 0.5, 1.0, 1.1)]
    assert whole[0] == 1 and whole[1] == pytest.approx(0.51) and whole[2:] == pytest.approx([0.02, 0.02])


# --- numbers ------------------------------------------------------------------------------------------------


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


def finished(name: str, scores: list[Score]) -> Compared:
    """A candidate whose only run was judged on clips of a group each."""
    clips = [ClipScores(f"c{i}", f"g{i}", 4.0, 12000.0, {"pesq": score}) for i, score in enumerate(scores)]
    judged = [CodecScores(3.0, 6, 3.0, clips)]
    run = Run(Path(), 0, 1, 1.0, 1.0, "", 1, judged)
    return Compared(name, "ours", None, None, None, [], "", [run])


def test_silencing_a_hard_clip_does_not_put_a_candidate_ahead_and_is_counted():
    easy, gone = [Score(3.0 + 0.1 * i) for i in range(5)], Score(None, "silent reference")
    silenced = Score(metric("pesq").worst, "silent decode")
    rows = rate_rows([finished("A", [*easy, Score(1.35), gone]), finished("B", [*easy, silenced, gone])], [3.0])
    kept, silent = (row.metrics["pesq"] for row in rows)
    assert (kept.failed, kept.undefined, silent.failed, silent.undefined) == (0, 1, 1, 1)
    assert kept.value.clips == silent.value.clips == silent.difference.clips == 6
    assert silent.value.mean < kept.value.mean and silent.difference.mean < 0


def test_marks_are_corrected_for_all_candidates_at_a_rate():
    rng = np.random.default_rng(0)
    first = rng.normal(3.0, 0.3, 8)
    candidates = [finished("first", [Score(value) for value in first])] + [
        finished(str(i), [Score(value) for value in first + rng.normal(0, 0.1, 8)]) for i in range(40)
    ]
    better = finished("better", [Score(value) for value in first + rng.normal(0.5, 0.05, 8)])
    rows = rate_rows([*candidates, better], [3.0])
    assert count_comparisons(rows) == 41
    alone = [row.metrics["pesq"].difference for row in rows[1:-1]]
    assert any(found.low > 0 or found.high < 0 for found in alone)  # by chance, each by itself
    assert [row.metrics["pesq"].sign for row in rows] == [0] * 41 + [1]


def test_what_was_scored_by_other_rules_is_scored_anew(tmp_path):
    judged = finished("A", [Score(2.0), Score(1.0, "silent decode"), Score(None, "empty")]).runs[0].judged
    write_scores(tmp_path / "scores.json", judged, {"clips": 3})
    assert read_scores(tmp_path / "scores.json", {"clips": 3}) == judged
    content = json.loads((tmp_path / "scores.json").read_text())
    del content["scoring"]
    (tmp_path / "scores.json").write_text(json.dumps(content))
    assert read_scores(tmp_path / "scores.json", {"clips": 3}) is None


def test_coded_bits_are_the_cross_entropy_of_the_tables():
    rng = np.random.default_rng(0)
    share = np.array([0.5, 0.25, 0.125, 0.125])

    def draw() -> torch.Tensor:
        return torch.from_numpy(np.stack([rng.choice(4, 50000, p=share), rng.choice(4, 50000)]))

    tables = fit_order_0_tables(draw(), 4)
    assert cross_entropy_bits(draw(), tables) / 50000 == pytest.approx(3.75, abs=0.02)
    assert cross_entropy_bits(draw()[:1], tables) / 50000 == pytest.approx(1.75, abs=0.01)
    uniform = fit_order_0_tables(torch.zeros(1, 0, dtype=torch.int64), 4)
    assert cross_entropy_bits(torch.tensor([[0, 3, 3]]), uniform) == pytest.approx(6)


def test_excerpts_are_long_enough_spread_and_always_the_same(prepared):
    split = open_split(prepared, "train", 16000, 1)
    some, same = choose_excerpts(split, 3), choose_excerpts(split, 3)
    assert [clip.clip_id for clip in some] == [clip.clip_id for clip in same]
    assert len({clip.group for clip in some}) == len(some) == 3
    assert all(3.2 <= clip.waveform.shape[1] / 16000 <= 8 for clip in choose_excerpts(split, 100))


# --- peers --------------------------------------------------------------------------------------------------


def test_absent_peers_are_listed_with_the_way_to_install_them(tmp_path, prepared, monkeypatch):
    absent = replace(PEERS["encodec"], module="nowhere_to_be_found")
    monkeypatch.setitem(PEERS, "encodec", absent)
    plan = write_plan(tmp_path, candidates={"ours": {}, "theirs": {"architecture": "encodec"}}, clips=1, kbps=[0.6])
    found = compare(plan, prepared, tmp_path / "out")
    assert not found.failed and not found.candidates[1].runs
    assert "- theirs: absent: encodec is not installed; pip install 'lathe-codec[peers]'" in found.text()


def peer_recipe(*overrides: str) -> Recipe:
    return read_recipe("quickstart", [*TINY, "--train.validate_every=2", "--train.steps=2", *overrides])


@pytest.mark.parametrize("name", list(PEERS))
def test_peers_train_with_our_loop(tmp_path, prepared, name):
    if PEERS[name].absent:
        pytest.skip(PEERS[name].install)
    candidate = {"architecture": name, "width": 2}
    plan = write_plan(tmp_path, candidates={"theirs": candidate}, steps=2, clips=1, kbps=[0.6])
    found = compare(plan, prepared, tmp_path / "out")
    assert not found.failed and found.candidates[0].width == 2 and found.rates[0].codebooks == 3
    assert np.isfinite(found.rates[0].metrics["mel"].value.mean)
    assert not list((tmp_path / "out").rglob("config.json"))  # no one takes it for a model of ours


@pytest.mark.parametrize("quantizer", ["own", "ours"])
@pytest.mark.parametrize("name", list(PEERS))
def test_peers_keep_length_and_learn_from_every_part(name, quantizer):
    if PEERS[name].absent:
        pytest.skip(PEERS[name].install)
    torch.manual_seed(0)
    peer, wave = codec_builder(name, 4, quantizer)(peer_recipe().codec), 0.1 * torch.randn(2, 1, 5000)
    assert isinstance(peer, Peer)
    peer.initialise(wave, torch.Generator().manual_seed(0))
    output = peer(wave, torch.tensor([1, 3]))
    assert output.waveform.shape == wave.shape and output.quantized.codes.shape == (2, 3, 16)
    (output.waveform.square().mean() + output.quantized.commitment).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in peer.parameters())


def test_costs_and_widths_that_match():
    config = read_recipe("speech_16k").codec
    ours = measure_complexity(Codec, config)
    stack = config.decoder
    frame = 2 * stack.expansion * stack.width**2 + stack.kernel * stack.width
    dimension = config.quantizer.dimension
    ends = (dimension + config.latent_hop) * stack.width + dimension * config.latent_hop
    per_second = config.frame_rate_hz * (stack.depth * frame + ends)
    assert ours.decoder_gmacs == pytest.approx(1e-9 * per_second, rel=0.01)
    assert ours.gmacs > ours.decoder_gmacs > 0
    if PEERS["encodec"].absent:
        pytest.skip(PEERS["encodec"].install)
    wanted = measure_complexity(codec_builder("encodec", 5), config).gmacs
    assert matching_width("encodec", "own", config, 1.03 * wanted) == 5


def test_peers_have_no_strides_for_any_hop(tmp_path, prepared):
    if PEERS["encodec"].absent:
        pytest.skip(PEERS["encodec"].install)
    candidate = {"architecture": "encodec", "settings": {"codec.hop": 200}}
    with pytest.raises(UserError, match="not 200"):
        compare(write_plan(tmp_path, candidates={"theirs": candidate}), prepared, tmp_path / "out")


def test_the_library_knows_no_peers():
    for path in Path(comparing.__file__).parents[2].glob("codec/**/*.py"):
        text = path.read_text()
        if path.parent.name != "cli" and path.name != "quickstart.py":
            assert "import eval" not in text and "from eval" not in text and "encodec" not in text.lower(), path
