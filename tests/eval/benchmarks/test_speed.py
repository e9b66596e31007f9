"""``codec speed``: measurements whose true value is known, and its page. No timing is asserted."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from codec import cli
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import save_model
from codec.recipe import read_recipe
from eval.benchmarks import coding_speed, training_speed
from eval.benchmarks.coding_speed import CodingTiming, RoundTime, TimingQuantiles, time_systems
from eval.benchmarks.latency import latency_samples, measure_latency, receptive_field_samples
from eval.benchmarks.profile import count_multiply_adds, profile_operations
from eval.benchmarks.results import SpeedResult, compare_speeds
from eval.benchmarks.speed import SpeedOptions, run_speed_benchmark
from eval.systems import architectures
from tests.helpers.tiny import TINY

SMALL = [word for word in TINY if "codec." in word and "dim" not in word]
RECIPES = {
    "quickstart": SMALL,
    "speech_16k": SMALL,
    "speech_24k": SMALL,
    "music_44k": [word for word in SMALL if "quantizer" not in word],
}


def tiny(recipe: str, *more: str) -> Codec:
    torch.manual_seed(0)
    return Codec(read_recipe(recipe, [*RECIPES[recipe], *more]).codec).eval().requires_grad_(False)


@pytest.mark.parametrize("recipe", RECIPES)
def test_measured_latency_is_the_stated_one(recipe):
    codec = tiny(recipe)
    samples = round(codec.config.latency_ms * codec.config.sample_rate / 1000)
    assert samples == (codec.config.frames_per_latent + 1) * codec.config.hop
    assert latency_samples(codec, quantize=False) == samples
    assert samples - codec.config.hop < latency_samples(codec, quantize=True) <= samples


@pytest.mark.parametrize("frames", [1, 2, 3])
def test_latency_grows_with_the_frames_of_a_latent(frames):
    codec = tiny("speech_16k", f"--codec.frames_per_latent={frames}", "--codec.hop=40")
    assert latency_samples(codec, quantize=False) == (frames + 1) * 40


def test_a_codec_that_looks_ahead_has_a_larger_measured_latency():
    codec = tiny("speech_16k")
    honest, hop = codec.mdct.analysis, codec.config.hop

    def early(wave, previous=None):
        return honest(torch.roll(wave, -hop, 1), previous)

    codec.mdct.analysis = early
    assert latency_samples(codec, quantize=False) >= 3 * hop > codec.config.latency_ms * 16


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_measured_receptive_field_is_the_stated_one(recipe):
    codec = tiny(recipe)
    stated = codec.receptive_field * codec.config.latent_hop + codec.config.hop
    assert stated - codec.config.hop < receptive_field_samples(codec) <= stated
    whole = read_recipe(recipe).codec
    assert Codec(whole).receptive_field * whole.latent_hop + whole.hop <= whole.sample_rate


def test_latency_is_in_milliseconds():
    latency = measure_latency(tiny("speech_24k"))
    assert latency.latency_ms == latency.stated_latency_ms == 40.0
    assert latency.receptive_field_ms <= latency.stated_receptive_field_ms == 160.0


def measure(folder: Path, **options: Any) -> SpeedResult:
    save_model(folder, tiny("speech_16k"), {})
    options = {"seconds": (0.5, 1.0), "rounds": 2, "memory_minutes": (0.1,)} | options
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("eval.benchmarks.speed.PROFILE_SECONDS", 1.0)
        return run_speed_benchmark([str(folder)], SpeedOptions(**options), command="codec speed x --json")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> SpeedResult:
    """A model from a folder, in a run with all its tables; the longest files are seconds."""
    return measure(tmp_path_factory.mktemp("model"))


@pytest.mark.long
def test_graphs_are_timed_as_streams(tmp_path):
    names = [one.name for one in measure(tmp_path, onnx=True, seconds=(0.5,), rounds=1).streams]
    assert names == [str(tmp_path), f"{tmp_path}, int8", f"{tmp_path}, ONNX", f"{tmp_path}, ONNX, int8"]


def test_every_measurement_is_made(result):
    name = result.timings[0].name
    systems = [name, f"{name}, int8"]
    assert [(one.name, one.measured, one.seconds) for one in result.timings] == [
        (name, "array", seconds) for seconds in (0.5, 1.0) for name in systems
    ]
    assert all(
        one.encode.rounds == 2 and one.encode.low <= one.encode.median <= one.encode.high for one in result.timings
    )
    assert [(one.name, one.frame_ms) for one in result.streams] == [(name, 20.0) for name in systems]
    assert result.memory[0].peak_mb[0] > 50
    assert [one.direction for one in result.work] == ["encode", "decode"]
    assert all(0 < one.gmac_per_audio_s < 1 for one in result.work)
    assert result.machine.processor and result.machine.gmac_per_s > 0
    assert result.training == []


def test_page_has_every_table_with_its_command(result):
    page = result.markdown()
    assert "  encode, x real time" in result.text()
    for table in result.tables():
        assert all(len(row) == len(table.header) for row in table.rows)
        assert f"## {table.title}\n" in page and table.title in result.text()
    assert "```sh\ncodec speed x --json\n```" in page
    assert result.machine.processor in page
    assert result.ratios == []  # nothing to compare with


def test_the_command_prints_json_and_writes_a_page_that_states_the_command(result, monkeypatch, tmp_path, capsys):
    seen = {}

    def measured(systems, options, command):
        seen.update(options=options, systems=systems)
        return replace(result, command=command)

    monkeypatch.setattr("eval.benchmarks.speed.run_speed_benchmark", measured)
    words = ["speed", "speech_16k", "--seconds", "1", "2.5", "--rounds", "3", "--json", "--out", f"{tmp_path}/s.md"]
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["timings"][0]["seconds"] == 0.5
    assert " ".join(["codec", *words]) in (tmp_path / "s.md").read_text()
    assert seen["systems"] == ["speech_16k"] and seen["options"].seconds == [1.0, 2.5]


@pytest.mark.parametrize(
    ("names", "options", "reason"),
    [
        (["speech_61k"], {}, "speech_61k"),
        (["no/such/folder.yaml"], {}, "no/such/folder.yaml"),
        (["speech_16k"], {"seconds": (0.0,)}, "--seconds"),
        (["speech_16k"], {"seconds": (float("nan"),)}, "--seconds"),
        (["speech_16k"], {"rounds": 0}, "--rounds"),
        (["speech_16k"], {"kbps": (6.0,)}, "--audio"),
    ],
)
def test_wrong_options_are_an_error_of_one_line(names, options, reason):
    with pytest.raises(UserError, match=reason) as error:
        run_speed_benchmark(names, SpeedOptions(**options))
    assert "\n" not in str(error.value)


def test_the_page_needs_an_existing_folder(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["speed", "--out", str(tmp_path / "no" / "speed.md")])
    assert ended.value.code == 2 and str(tmp_path / "no") in capsys.readouterr().err


# --- peers --------------------------------------------------------------------------------------


def system(name: str) -> architectures.SpeedSubject:
    return architectures.SpeedSubject(name, 8000, 1.0, 1, lambda wave: wave.cumsum(-1), lambda codes: codes.diff())


def rounds(*rows: list[Any]) -> list[RoundTime]:
    return [RoundTime(*row) for row in rows]


def test_speeds_and_ratios_are_those_of_rounds():
    theirs = CodingTiming.of("theirs", "array", 1.0, 1, 4.0, rounds([0, 2.0, 1.0], [1, 4.0, 2.0], [2, 2.0, 4.0]))
    ours = CodingTiming.of("ours", "array", 1.0, 1, 4.0, rounds([0, 1.0, 1.0], [2, 0.5, 2.0]))
    assert theirs.encode == TimingQuantiles(2.0, 1.0, 2.0, 3) and theirs.decode == TimingQuantiles(2.0, 1.0, 4.0, 3)
    assert ours.ratios_to(theirs) == (TimingQuantiles(3.0, 2.0, 4.0, 2), TimingQuantiles(1.5, 1.0, 2.0, 2))
    assert theirs.ratios_to(theirs) == (TimingQuantiles(1.0, 1.0, 1.0, 3),) * 2


def test_arrays_are_compared_at_one_length_and_files_at_one_bit_rate():
    def timing(name: str, measured: str, kbps: float | None, seconds: float) -> CodingTiming:
        return CodingTiming.of(name, measured, kbps, 1, seconds, rounds([0, 1.0, 1.0]))

    rows = [timing(name, "array", kbps, s) for s in (1.0, 2.0) for name, kbps in (("ours", 6.0), ("theirs", 24.0))]
    rows += [timing(name, "file", kbps, 2.0) for kbps in (None, 6.0) for name in ("ours", "theirs", "another")]
    found = compare_speeds(rows, {"ours": ["theirs"]})
    pairs = [(one.timing.measured, one.timing.kbps, one.timing.seconds, one.relative_to) for one in found]
    assert pairs == [
        ("array", 6.0, 1.0, "theirs"), ("array", 6.0, 2.0, "theirs"), ("file", None, 2.0, "theirs"),
        ("file", 6.0, 2.0, "theirs"),
    ]  # fmt: skip


def test_systems_take_turns():
    order: list[str] = []

    def noted(name: str) -> architectures.SpeedSubject:
        return replace(system(name), encode=lambda wave: (order.append(name), wave)[1])

    time_systems([noted("a"), noted("b")], [0.1], 3, {"a", "b"}, quiet=True)
    assert order[-6:] == ["a", "b"] * 3


def test_slow_peers_get_fewer_rounds(monkeypatch):
    monkeypatch.setattr(coding_speed, "BUDGET_S", 0.0)
    rows = time_systems([system("ours"), system("slow")], [0.1, 0.2], 3, {"ours"})
    assert [(row.name, row.seconds, row.encode.rounds) for row in rows] == [
        ("ours", 0.1, 3), ("slow", 0.1, 1), ("ours", 0.2, 3)
    ]  # fmt: skip


def test_missing_and_broken_peers_are_listed_with_what_to_do(monkeypatch):
    def broken():
        raise RuntimeError("old\nversion")

    packages = {
        "not-there": ("module_that_is_not_there", broken),
        "broken": ("json", broken),
        "works": ("json", lambda: [system("a peer")]),
    }
    monkeypatch.setattr(architectures, "PACKAGES", packages)
    found = architectures.build_peers()
    assert [one.name for one in found.systems] == ["a peer"]
    assert found.absent == [
        "not-there: not installed; pip install not-there",
        "broken: does not run here (RuntimeError: old); pip install broken",
    ]


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_folding_weight_norm_changes_no_result():
    old = torch.nn.utils.weight_norm(torch.nn.Conv1d(2, 3, 3))
    new = torch.nn.utils.parametrizations.weight_norm(torch.nn.Conv1d(3, 1, 3))
    model, x = torch.nn.Sequential(old, new), torch.randn(1, 2, 9)
    before = model(x)
    architectures.fold_weight_norm(model)
    assert torch.allclose(model(x), before, atol=1e-6)
    assert sorted(model.state_dict()) == ["0.bias", "0.weight", "1.bias", "1.weight"]


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_encodec_if_it_is_installed():
    pytest.importorskip("encodec", exc_type=(ImportError, OSError))
    found = architectures.PACKAGES["encodec"][1]()
    assert architectures.REFERENCE in {one.name for one in found}
    one = found[0]
    codes = one.encode(torch.randn(1, 1, 2400))
    assert one.decode(codes).shape[-1] >= 2400


# --- work and training --------------------------------------------------------------------------


def test_multiply_adds_of_a_layer():
    layer, x = torch.nn.Linear(8, 16), torch.randn(4, 8)
    assert count_multiply_adds(lambda: layer(x)) == 4 * 8 * 16


def test_multiply_adds_of_the_codec_are_those_of_its_layers():
    codec = tiny("speech_16k")
    config, frames = codec.config, 64
    wave = torch.zeros(1, 1, frames * config.latent_hop - config.hop)
    net, hop, quantizer = config.encoder, config.latent_hop, config.quantizer
    block = 2 * net.expansion * net.width**2  # the depthwise taps are done element by element
    stack = net.width * (hop + quantizer.dimension) + hop * quantizer.dimension + net.depth * block
    dim = min(quantizer.codebook_dim, quantizer.dimension)
    search = quantizer.codebooks * dim * (quantizer.dimension + quantizer.size)
    expected = frames * (2 * config.hop * hop + stack + search)
    assert count_multiply_adds(lambda: codec.encode(wave)) == pytest.approx(expected, rel=0.1)


def test_shares_of_operations_add_up_to_the_time():
    layer, x = torch.nn.Linear(64, 64), torch.randn(64, 64)
    found = profile_operations(lambda: layer(x))
    assert "addmm" in {one.name for one in found}
    assert 0.5 < sum(one.share for one in found) <= 1.0 + 1e-6


def test_training_steps_run_without_and_with_a_discriminator():
    recipe = read_recipe("speech_16k", [*SMALL, "--adversarial.width=2"])
    steps = training_speed.build_steps({"tiny": recipe}, peers=False).steps
    alone, judged = training_speed.time_training(steps, rounds=1)
    assert alone.discriminator_parameters == 0 < judged.discriminator_parameters
    assert alone.audio_s.median > 0 and alone.parameters == judged.parameters


def test_peers_that_cannot_be_trained_are_listed(monkeypatch):
    def broken(recipes):
        raise RuntimeError("old\nversion")

    monkeypatch.setattr(training_speed, "PEER_STEPS", {"json": broken, "module_that_is_not_there": broken})
    found = training_speed.build_steps({}, peers=True)
    assert (found.steps, len(found.absent)) == ([], 1)
    assert "json: its training step does not run here (RuntimeError: old)" in found.absent[0]


def test_peak_memory_is_that_of_the_measured_process(result):
    assert result.memory[0].minutes == [0.1]
    assert result.memory[0].peak_mb[0] < 2000
    assert Path(result.command.split()[0]).name == "codec"
