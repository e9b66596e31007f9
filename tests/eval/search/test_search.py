"""``codec search``: real searches of tiny codecs, killed, shared between processes, picked from; and its parts."""

import csv
import json
import re
import signal
import time
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from codec import audio
from codec.bitstream.header import HEADER_BYTES
from codec.cli import build_parser, main
from codec.coding.files import encode_file
from codec.coding.options import CodingOptions
from codec.dataset.ledger import SealedError, count_candidates, read_ledger
from codec.dataset.packed import open_split
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import save_model
from codec.pretrained.loaded_model import LoadedModel
from codec.recipe import read_recipe, recipe_names
from codec.training.trainer import TrainingOptions, train
from eval.evaluation import candidate_scoring
from eval.evaluation.candidate_scoring import cross_entropy_bits
from eval.evaluation.clip_selection import selects
from eval.evaluation.codec_scores import ClipScores, CodecScores
from eval.metrics.bootstrap import PairedDifference
from eval.metrics.registry import Score
from eval.search import cost, sampler
from eval.search.exclusive_timing import Turns
from eval.search.operating_candidates import OperatingPoints
from eval.search.pareto import best_first, dominates, front
from eval.search.pick import pick
from eval.search.plan import SearchPlan, Use, read_search_plan
from eval.search.sampler import Arm, open_storage
from eval.search.scheduler import search
from eval.search.settings_for_use import usage
from eval.search.space import Setting
from eval.search.tables import text
from eval.search.verdict import verdict
from tests.helpers.children import CONTEXT, running, wait_for_end, wait_until
from tests.helpers.tiny import TINY

TINY_SETTINGS = {name[2:]: yaml.safe_load(value) for name, value in (word.split("=") for word in TINY)}
QUICK = {"clip_selection.SHORTEST_S": 3.0, "clip_selection.LONGEST_S": 3.2, "candidate_scoring.TABLE_CLIPS": 2}
SPACE = {
    "codec.decoder.width": {"low": 8, "high": 24, "step": 8},
    "codec.quantizer.codebooks": {"low": 1, "high": 3},
    "optim.lr": {"low": 1e-3, "high": 3e-3, "log": True},
}


def quicken(patch: pytest.MonkeyPatch) -> None:
    for name, value in QUICK.items():
        patch.setattr(f"eval.evaluation.{name}", value)
    patch.setattr(cost, "ROUNDS", 2)
    patch.setattr(cost, "SECONDS", 0.5)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    quicken(monkeypatch)


def write_plan(folder: Path, **changes: object) -> str:
    settings = {name: value for name, value in TINY_SETTINGS.items() if name not in SPACE}
    (folder / "base.yaml").write_text(yaml.safe_dump({
        "codec": {"hop": 320, "frames_per_latent": 1, "decoder": {"width": 16}, "quantizer": {"codebooks": 3}},
        "losses": {"l1": 20.0, "mel": 1.0},
        "optim": {"lr": 2.0e-3},
        "train": {"mel_scales": 1},
    }))  # fmt: skip
    plan = {
        "title": "Tiny",
        "recipe": str(folder / "base.yaml"),
        "settings": settings,
        "space": SPACE,
        "steps": 2,
        "candidates": 2,
        "population": 2,
        "clips": 3,
    }
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump({**plan, **changes}, sort_keys=False))
    return str(path)


def search_in_child(plan: str, data: Path, out: Path) -> None:
    torch.set_num_threads(1)
    quicken(pytest.MonkeyPatch())
    search(plan, data, out)


# --- end to end ---------------------------------------------------------------------------------------------


def test_from_plan_to_front_and_recipe(tmp_path, prepared, capsys):
    plan = write_plan(tmp_path, rungs=2, factor=2, seeds=[0, 1])
    out, counted, opened = tmp_path / "out", count_candidates(prepared), len(read_ledger(prepared))
    with pytest.raises(SystemExit, match="0"):
        main(["search", "run", plan, "--data", str(prepared), "--out", str(out)])
    printed = capsys.readouterr()
    assert "default = genetic 0, random 0" in printed.out and "2 of 2 random" in printed.err
    assert "validation loss" not in printed.out  # progress is not the result

    found = json.loads((out / "front.json").read_text())
    rows = {name: row for row in found["rows"] for name in row["names"]}
    assert {"genetic 0", "genetic 1", "random 0", "random 1"} == set(rows)
    default = rows["genetic 0"]
    assert default["default"] and default is rows["random 0"] and default["rung"] == 1
    assert default["settings"] == {"codec.decoder.width": 16, "codec.quantizer.codebooks": 3, "optim.lr": 2.0e-3}
    survivors = [row for row in found["rows"] if row["rung"] == 1]
    assert 1 <= len(survivors) <= len(found["rows"]) == 3 and found["front_rung"] == 1
    for row in survivors:
        run = out / "candidates" / row["key"] / f"seed{row['seeds'][-1]}"
        assert json.loads((run / "run.json").read_text())["steps"] == 4  # 2 on the first rung, 2 more on the second
        steps = [line.split(",")[0] for line in (run / "metrics.csv").read_text().splitlines() if ",val," in line]
        assert {"2", "4"} <= set(steps)
    on_front = [row for row in found["rows"] if row["front"]]
    assert on_front and all(row["rung"] == 1 and row["seeds"] == [0, 1] for row in on_front)
    assert count_candidates(prepared) == counted + len(list((out / "candidates").glob("*/seed[01]")))
    assert found["candidates_on_validation"] == count_candidates(prepared) and len(read_ledger(prepared)) == opened
    assert found["gap"] is not None and (out / "front.md").read_text().count("| default = genetic 0") == 1
    assert len((out / "front.csv").read_text().splitlines()) == 1 + len(found["rows"])

    assert (out / "front.png").read_bytes().startswith(b"\x89PNG")
    page = (out / "front.html").read_text()
    assert not re.search(
        r"https?://(?!www\.w3\.org/2000/svg)|fetch\(|@import|<link(?! rel=\"icon\" href=\"data:,\")", page
    )
    points = json.loads(re.search(r'id="points">(.*?)</script>', page, re.DOTALL)[1])["points"]
    assert {point["name"].removeprefix("default = ") for point in points} == {
        ", ".join(row["names"]) for row in found["rows"]
    }
    assert all("codec.decoder.width: " in "".join(point["lines"]) for point in points)

    most = max(row["kbps"] for row in on_front)
    with pytest.raises(SystemExit, match="0"):
        main(["search", "pick", str(out), "--max-kbps", str(most), "--min-speed", "1", "--out", f"{tmp_path}/r.yaml"])
    best = min(on_front, key=lambda row: row["selected"])
    recipe = read_recipe(str(tmp_path / "r.yaml"))
    assert recipe.codec.decoder.width == best["settings"]["codec.decoder.width"]
    assert recipe.optim.lr == best["settings"]["optim.lr"] and recipe.codec.encoder.width == 16
    assert recipe.train.steps > 1000 and recipe.codec.quantizer.contexts > 1  # the search's own are not the recipe's
    with pytest.raises(UserError, match="nothing on the front is within these limits: it begins at"):
        pick(out, max_kbps=0.001)


def test_killed_at_any_moment_and_run_again(tmp_path, prepared):
    plan, out = write_plan(tmp_path), tmp_path / "out"
    for wanted in ("*/candidate.json", "*/seed0/metrics.csv"):
        with running(search_in_child, plan, prepared, out) as process:
            wait_until(lambda wanted=wanted: list(out.glob(f"candidates/{wanted}")), process)
        assert process.exitcode == -signal.SIGKILL and not (out / "front.json").is_file()
    with (out / "sampler.journal").open("ab") as journal:
        journal.write(b'{"op_code": 4, "wor')  # as if killed while writing
    result = search(plan, prepared, out)
    names = sorted(name for row in result.rows for name in row.names)
    assert names == ["genetic 0", "genetic 1", "random 0", "random 1"] and not result.failed
    again = search(plan, prepared, out)  # nothing left to do
    assert again.rows == result.rows
    with pytest.raises(UserError, match="holds a search with another steps; choose another --out"):
        search(write_plan(tmp_path, steps=3), prepared, out)


def test_two_processes_share_a_study(tmp_path, prepared):
    plan, out, counted = write_plan(tmp_path, candidates=3), tmp_path / "out", count_candidates(prepared)
    mine = []
    with running(search_in_child, plan, prepared, out) as other:
        wait_until(lambda: list(out.glob("candidates/*")), other)
        result = search(plan, prepared, out, show=mine.append)
        assert wait_for_end(other) == 0
    assert result.drawn == {"genetic": 3, "random": 3}
    assert 0 < len(mine) < len(result.rows) == 5  # each had its share
    assert count_candidates(prepared) == counted + 5  # and none was trained twice
    runs = [path.read_text().splitlines() for path in out.glob("candidates/*/seed0/metrics.csv")]
    assert len(runs) == 5 and all(sum(",val,total," in line for line in lines) == 1 for lines in runs)


def test_failures_and_constraints(tmp_path, prepared):
    space = {"optim.lr": {"choices": [2.0e-3, 10.0]}, "codec.hop": {"choices": [320, 640]}}
    settings = {**TINY_SETTINGS, "optim.clip_norm": 1e9}  # at the higher rate, losses explode
    plan = write_plan(tmp_path, space=space, settings=settings, constraints={"latency_ms": 50})
    result = search(plan, prepared, tmp_path / "out")
    assert len(result.rows) == 1 and result.refused > 0 and result.drawn == {"genetic": 2, "random": 2}
    assert len(result.failed) == 1 and all(result.failed.values())
    assert result.rows[0].default and "## Failed" in (tmp_path / "out/front.md").read_text()
    ends = [json.loads(path.read_text()) for path in (tmp_path / "out").glob("candidates/*/end.json")]
    assert "latency 80 ms, at most 50 allowed" in {end["reason"] for end in ends}


def test_operating_points_of_a_trained_model(tmp_path, prepared):
    recipe = read_recipe("speech_16k", [*TINY, "--codec.quantizer.contexts=1"])
    save_model(tmp_path / "model", Codec(recipe.codec), {"step": 1})
    space = {
        "codebooks": {"low": 1, "high": 3},
        "threads": {"choices": [1, 2]},
        "runtime": {"choices": ["eager", "onnx"]},
        "block": {"choices": [16, 256]},
        "packet_s": {"choices": [0.1, 2.0]},
    }
    whole = {"kind": "operating", "model": str(tmp_path / "model"), "space": space, "clips": 3, "metric": "mel"}
    whole["starts"] = [{"runtime": "onnx"}]
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump({**whole, "candidates": 6, "population": 3}, sort_keys=False))
    counted = count_candidates(prepared)
    result = search(str(plan), prepared, tmp_path / "out")
    default = next(row for row in result.rows if row.default)
    assert default.settings == {"codebooks": 3, "threads": 1, "runtime": "eager", "block": 256, "packet_s": 2.0}
    graphs = next(row for row in result.rows if row.settings == {**default.settings, "runtime": "onnx"})
    assert graphs.kbps == pytest.approx(default.kbps, rel=0.01) and graphs.reported.mean == pytest.approx(
        default.reported.mean, rel=0.01
    )
    assert 6 < len(result.rows) <= 11 and count_candidates(prepared) == counted + len(result.rows) and not result.failed
    by_settings = {tuple(row.settings.values()): row for row in result.rows}
    for (codebooks, _, _, block, packet_s), row in by_settings.items():
        nominal = codebooks * recipe.codec.kbps_per_codebook
        assert nominal < row.kbps < nominal + (1.0 if packet_s == 0.1 else 0.1)
        assert row.latency_ms == 40 + 20 * (block - 1)
    with (tmp_path / "out/front.csv").open(newline="") as file:
        (head, *_), table = csv.reader(file), text(result)
    assert len(set(head)) == len(head) and {"real_kbps", "use.codebooks"} <= {*head}
    assert "real kbps" in table and "use.codebooks" in table and "  codebooks" not in table
    found = pick(tmp_path / "out", recipe=tmp_path / "use.yaml")
    assert yaml.safe_load((tmp_path / "use.yaml").read_text()) == {"model": str(tmp_path / "model"), **found.settings}
    plan.write_text(yaml.safe_dump({**whole, "steps": 3}))
    with pytest.raises(UserError, match="nothing is trained"):
        search(str(plan), prepared, tmp_path / "out")


@pytest.mark.parametrize(
    ("changed", "command", "notes"),
    [
        ({}, "codec encode AUDIO --out nac/ --model m", []),
        ({"kbps": 3.0, "threads": 2}, "codec encode AUDIO --out nac/ --model m --kbps 3 --threads 2", ["--threads 2"]),
        ({"codebooks": 6}, "codec encode AUDIO --out nac/ --model m --codebooks 6", []),
        (
            {"kbps": 3.0, "codebooks": 6, "precision": "bfloat16", "block": 16, "entropy": "order 0", "packet_s": 5.0},
            "codec encode AUDIO --out nac/ --model m --kbps 3",
            [
                *("codebooks 6: codec encode takes one of", 'precision bfloat16: .* codec.load(…, dtype="bfloat16")'),
                *("block 16: .* stream_encoder(block=16)", "entropy order 0: not in files", "packet_s 5.0: not in"),
            ],
        ),
        ({"entropy": "none", "runtime": "compiled"}, "codec encode AUDIO --out nac/ --model m", ["fixed", "compile()"]),
        (
            {"runtime": "onnx", "threads": 2},
            "codec export m --out model/ --onnx; codec encode AUDIO --out nac/ --model model/ --device onnx",
            ['threads 2: .* device="onnx", threads=2', "codec decode nac/ --out wav/ --model model/ --device onnx"],
        ),
    ],
)  # fmt: skip
def test_of_an_operating_point_is_told_what_to_do_about_each_setting_that_differs(changed, command, notes):
    default = asdict(Use(24))
    found = usage("m", {**default, **changed}, default)
    assert found.command == command and len(found.notes) == len(notes)
    for note in notes:
        assert re.search(re.escape(note).replace(r"\.\*", ".*"), "\n".join(found.notes)), note
    for part in command.split("; "):  # which the command line takes
        build_parser().parse_args(part.split()[1:])


def test_an_operating_point_costs_what_files_cost(tmp_path, prepared):
    """The same packets as ``encode_file`` writes, and sound that does not depend on how codes are packed."""
    operating = OperatingPoints(
        SearchPlan(kind="operating", model="speech_16k_v2", space={}, starts=[{"codebooks": 24}]), prepared, tmp_path
    )
    rate, rng = 16000, np.random.default_rng(0)
    wave = np.cumsum(rng.standard_normal(5 * rate, dtype=np.float32))[None] * 1e-3
    audio.write(tmp_path / "a.wav", wave, rate, "FLOAT")
    streams, decoded = torch.from_numpy(wave)[:, None], {}
    for name, settings, asked in (
        ("all", {}, {}),
        ("rate", {"kbps": 3.0}, {"kbps": 3.0}),
        ("order 0", {"entropy": "order 0"}, {}),
        ("none", {"entropy": "none"}, {}),
    ):
        system = operating.system({"codebooks": 24, **settings})
        coded = system.encode(streams)
        decoded[name] = system.decode(coded)
        report = encode_file(
            tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(operating.model), CodingOptions(**asked)
        )
        index = 4 * (1 + -(-len(coded.packets) // 16))
        if settings.get("entropy") is None:
            assert coded.bits / 8 == report.bytes_total - HEADER_BYTES - index
        elif name == "order 0":
            ideal = cross_entropy_bits(operating.model.encode(streams)[0], operating.model.tables.order_0())
            assert ideal < coded.bits < ideal * 1.01 + 8 * 12 * len(coded.packets)
        else:
            frames = len(coded.packets)
            assert coded.bits / 8 == frames * (1 + 24 * 10 // 8 + 2)  # docs/bitstream.md, the live profile
    assert torch.equal(decoded["all"], decoded["order 0"]) and torch.equal(decoded["all"], decoded["none"])
    reduced = operating.system({"codebooks": 24, "precision": "bfloat16"})
    there = reduced.decode(operating.system({"codebooks": 24}).encode(streams))
    error = (there - decoded["all"]).square().mean() / decoded["all"].square().mean()
    assert 0 < error < 0.01
    for wrong, reason in (
        ({"kbps": 3.0, "entropy": "order 0"}, "kbps must be 0"),
        ({"runtime": "onnx", "precision": "bfloat16"}, "float32 alone"),
        ({"runtime": "jax"}, "runtime must be eager, compiled, onnx"),
    ):
        with pytest.raises(UserError, match=reason):
            operating.use(wrong)


def test_the_test_split_stays_sealed(tmp_path, prepared, monkeypatch):
    """Whatever the search opens goes through the seal, which names it and refuses."""
    asked = []

    def spy(data, split, *rest):
        asked.append(split)
        return open_split(data, split, *rest)

    monkeypatch.setattr(candidate_scoring, "open_split", spy)
    monkeypatch.setattr("codec.training.data.open_split", spy)
    monkeypatch.setattr("eval.search.scheduler.open_split", spy)
    hidden = [path for path in prepared.rglob("*") if path.name.startswith("test")]
    assert hidden
    for path in hidden:
        path.rename(path.with_name(f"hidden-{path.name}"))
    try:
        result = search(write_plan(tmp_path, candidates=1), prepared, tmp_path / "out")
    finally:
        for path in hidden:
            path.with_name(f"hidden-{path.name}").rename(path)
    assert len(result.rows) == 1 and set(asked) == {"train", "val"}
    with pytest.raises(SealedError):
        spy(prepared, "test", 16000, 1)
    package = Path(cost.__file__).parent
    assert not any("open_sealed_test" in path.read_text() for path in package.glob("*.py"))


# --- plans and spaces ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipe_names("search"))
def test_plans_of_the_package_are_whole(name):
    plan = read_search_plan(name)
    assert all(setting.holds(start[key]) for start in plan.starts for key, setting in plan.space.items())


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"space": {}}, "the space is empty"),
        ({"space": {"codec.hip": {"low": 1, "high": 2}}}, "no setting called 'codec.hip'"),
        (
            {"space": {"codec.decoder.width": {"low": 32, "high": 64}}},
            "width must hold 16, where the search starts: its value in",
        ),
        ({"space": {"optim.lr": {"low": 0.0, "high": 1.0, "log": True}}}, "low must be above 0"),
        ({"space": {"optim.lr": {"low": 1.0}}}, "give choices, or low and high"),
        ({"space": {"train.steps": {"low": 1, "high": 100_000}}}, "the same for all"),
        ({"population": 40}, "population must be 2 to 12, not 40"),
        ({"metric": "beauty"}, "no metric called 'beauty'"),
        ({"minutes": 1}, "either minutes or steps"),
        ({"starts": [{"optim.lr": 5.0}]}, "starts: optim.lr: 5.0 is not in the space"),
    ],
)
def test_plans_that_do_not_fit_are_refused_in_one_line(tmp_path, changes, reason):
    with pytest.raises(UserError, match=reason) as error:
        read_search_plan(write_plan(tmp_path, **changes))
    assert "\n" not in str(error.value)


def test_the_default_of_use_must_be_in_the_space_and_is_in_the_documentation(tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text("kind: operating\nmodel: speech_16k_v2\nspace:\n  block: {choices: [1, 16]}\n")
    with pytest.raises(
        UserError, match="block must hold 256, where the search starts: its default when a model is used"
    ):
        read_search_plan(str(plan))
    text = (Path(__file__).parents[3] / "docs/search.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \| `?([\w.]+)`? \| .* \|$", text, re.MULTILINE))
    defaults = {name: str(value).removesuffix(".0") for name, value in asdict(Use(24)).items()}
    assert told == {**defaults, "codebooks": "all"}


def test_what_is_drawn_is_in_the_space_and_the_same_every_time(tmp_path):
    plan = read_search_plan(write_plan(tmp_path))
    drawn = []
    for url in (None, f"sqlite:///{tmp_path}/sampler.db"):
        arm = Arm("random", "s", plan, open_storage(tmp_path, url))
        if url:
            arm.draw()
            arm = Arm("random", "s", plan, open_storage(tmp_path, url))  # as after an interruption
        while len(arm.trials()) < 6:
            arm.draw()
        drawn.append([proposal.settings for proposal in arm.proposals()])
    assert drawn[0] == drawn[1] and drawn[0][0] == plan.starts[0]
    assert all(plan.space[key].holds(value) for settings in drawn[0] for key, value in settings.items())
    assert len({json.dumps(settings) for settings in drawn[0]}) > 3


def test_a_storage_that_cannot_be_opened_is_one_line(tmp_path):
    with pytest.raises(UserError, match="the storage cannot be opened") as error:
        open_storage(tmp_path, "nodatabase://nowhere")
    assert "\n" not in str(error.value)


def test_memory_can_be_limited(tmp_path, prepared, monkeypatch):
    monkeypatch.setattr(sampler, "TRIES", 4)
    monkeypatch.setattr("eval.search.scheduler.measure_memory", lambda codec: 10.0 * codec.config.quantizer.codebooks)
    plan = write_plan(tmp_path, constraints={"memory_mb": 9}, candidates=1)
    result = search(plan, prepared, tmp_path / "out")  # every draw is refused, until the space counts as exhausted
    assert result.rows == [] and result.refused >= 8
    with pytest.raises(UserError, match="nothing is on the front yet"):
        pick(tmp_path / "out")


def test_choices_can_be_anything_a_recipe_takes():
    setting = Setting(choices=[{"l1": 1.0}, [1, 2], "rvq", 3])
    assert [setting.from_drawn(setting.to_drawn(value)) for value in setting.choices] == setting.choices
    assert Setting(low=1, high=8, step=3).distribution().high == 7
    assert not Setting(low=1, high=8, step=3).holds(3) and Setting(low=1, high=8, step=3).holds(4)


# --- choosing -----------------------------------------------------------------------------------------------


def test_fronts():
    costs = [(1, 4), (2, 2), (4, 1), (3, 3), (2, 2), (5, 5)]
    assert front(costs) == [0, 1, 2, 4]
    assert best_first(costs)[:2] == [0, 2] and best_first(costs)[4:] == [3, 5]
    assert dominates((1, 1), (1, 2)) and not dominates((1, 1), (1, 1))


def test_halves_share_no_group_and_the_name_alone_decides():
    clips = [ClipScores(f"c{i}", f"g{i % 20}", 1.0, 1.0, {"mel": Score(1.0)}) for i in range(40)]
    judged = CodecScores(1.0, 1, 1.0, clips)
    parts = [judged.half(selecting=selecting) for selecting in (True, False)]
    groups = [{clip.group for clip in part.clips} for part in parts]
    assert not groups[0] & groups[1] and sum(len(part.clips) for part in parts) == 40 and all(groups)
    assert selects("voice06") and not selects("voice14")


def test_a_result_says_where_nothing_is(tmp_path):
    with pytest.raises(UserError, match="no search here"):
        pick(tmp_path)


def _step_by_step(out, steps):
    turns = Turns(out)
    while True:
        with turns:
            steps.value += 1
            time.sleep(0.002)


def _training(out, data, steps, validations):
    class Counted(Codec):
        def forward(self, *given):
            (steps if self.training else validations).value += 1
            return super().forward(*given)

    recipe = read_recipe("quickstart", [*TINY, "--train.steps=100000", "--train.validate_every=1"])
    options = TrainingOptions(build=Counted, fit_tables=False, keep_audio_samples=False, step_lock=Turns(out))
    train(recipe, data, out / "run", quiet=True, options=options)


def test_others_wait_while_one_measures(tmp_path, prepared):
    """Steps of any work, and the steps and validations of a training."""
    counts = [CONTEXT.Value("q", 0, lock=False) for _ in range(4)]
    with ExitStack() as stack:
        workers = [stack.enter_context(running(_step_by_step, tmp_path, count)) for count in counts[:2]]
        workers.append(stack.enter_context(running(_training, tmp_path, prepared, *counts[2:])))
        done = [0] * 4
        for _ in range(4):
            before = done
            wait_until(lambda before=before: all(count.value > old for count, old in zip(counts, before)), *workers)
            with Turns(tmp_path).alone():
                done = [count.value for count in counts]
                time.sleep(0.2)
                assert [count.value for count in counts] == done


@pytest.fixture(scope="module")
def known(tmp_path_factory, prepared):
    """A search that judged the default alone."""
    folder = tmp_path_factory.mktemp("known")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in QUICK.items():
            patch.setattr(f"eval.evaluation.{name}", value)
        return search(write_plan(folder, candidates=1), prepared, folder / "out")


@pytest.mark.parametrize(
    ("mean", "p", "kbps", "wanted"),
    [
        (
            0.2,
            0.01,
            4.0,
            "1 candidate is better than the default (5.00 kbps) at no more bits .*: random 1 (PESQ-WB +0.20",
        ),
        (0.05, 0.4, 4.0, "No candidate is better than the default .*; 1 cannot be told from it"),
        (-0.3, 0.01, 4.0, "The default is on the front: none reaches .* The only candidate within these is random 1"),
        (0.2, 0.01, 6.0, "The default is on the front: every other candidate .* either costs more bits or is slower"),
        (0.2, None, 4.0, "Whether 1 candidate .* cannot be tested"),
    ],
)
def test_the_verdict_on_the_default(known, mean, p, kbps, wanted):
    default = replace(known.rows[0], kbps=5.0)
    difference = PairedDifference(mean, mean - 0.1, mean + 0.1, 20, 10, p)
    other = replace(default, names=["random 1"], default=False, kbps=kbps, difference=difference)
    told = verdict(replace(known, metric="pesq", rows=[default, other]))
    assert re.match(wanted.replace("(", r"\(").replace(")", r"\)").replace("+", r"\+"), told)
    alone = verdict(replace(known, metric="pesq", rows=[default, replace(other, rung=1)]))
    assert "no other candidate got as far" in alone
    rivals = [replace(other, names=[f"random {i}"]) for i in range(1, 31)]
    among = verdict(replace(known, metric="pesq", rows=[default, *rivals]))
    if p is not None and kbps < 5:
        assert "30 comparisons" in among and not re.match(r"\d+ candidate", among)  # 30 times 0.01 is no evidence
