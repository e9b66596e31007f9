"""Operating points: a search of them, and their real bits."""

import csv
from dataclasses import asdict

import numpy as np
import pytest
import torch
import yaml

from codec import audio
from codec.bitstream.file_start import start_bytes
from codec.bitstream.reader import PacketReader
from codec.coding.files import encode_file
from codec.coding.options import CodingOptions
from codec.dataset.ledger import count_candidates
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import save_model
from codec.pretrained.loaded_model import LoadedModel
from codec.recipe import read_recipe
from eval.search.operating_candidates import OperatingPointCandidates
from eval.search.pick import pick_candidate
from eval.search.plan import OperatingSettings, SearchPlan
from eval.search.report import search_text
from eval.search.run import run_search
from tests.helpers.plans import write_operating_plan
from tests.helpers.tiny import WITHOUT_CONTEXTS

MODEL = "speech_16k_v2"


def test_a_search_of_operating_points(tmp_path, prepared):
    recipe = read_recipe("speech_16k", WITHOUT_CONTEXTS)
    model = tmp_path / "model"
    save_model(model, Codec(recipe.codec), {"step": 1})
    plan = write_operating_plan(tmp_path, model, candidates=6, population=3)
    counted = count_candidates(prepared)
    result = run_search(plan, prepared, tmp_path / "out")
    default = next(row for row in result.rows if row.default)
    assert default.settings == {"codebooks": 3, "threads": 1, "runtime": "eager", "packet_s": 2.0}
    graphs = next(row for row in result.rows if row.settings == {**default.settings, "runtime": "onnx"})
    assert graphs.kbps == pytest.approx(default.kbps, rel=0.01)
    assert graphs.reported.mean == pytest.approx(default.reported.mean, rel=0.01)
    assert 6 < len(result.rows) <= 11 and count_candidates(prepared) == counted + len(result.rows)
    assert not result.failed
    for row in result.rows:
        nominal = row.settings["codebooks"] * recipe.codec.kbps_per_codebook
        assert nominal < row.kbps < nominal + (1.0 if row.settings["packet_s"] == 0.1 else 0.1)
        assert row.latency_ms == 40
    with (tmp_path / "out/front.csv").open(newline="") as file:
        (head, *_), table = csv.reader(file), search_text(result)
    assert len(set(head)) == len(head) and {"real_kbps", "use.codebooks"} <= {*head}
    assert "real kbps" in table and all(row.name in table for row in result.rows if row.front)
    assert graphs.name == "ONNX" and len({row.name for row in result.rows}) == len(result.rows)
    found = pick_candidate(tmp_path / "out", recipe=tmp_path / "use.yaml")
    assert yaml.safe_load((tmp_path / "use.yaml").read_text()) == {"model": str(model), **found.settings}

    longer = run_search(plan, prepared, tmp_path / "out", candidates=7)
    assert longer.planned == 7 and {row.key for row in result.rows} < {row.key for row in longer.rows}
    assert len(longer.rows) <= len(result.rows) + 2
    assert run_search(plan, prepared, tmp_path / "out").planned == 7  # the plan's 6 are no fewer than there were


@pytest.fixture(scope="module")
def candidates(tmp_path_factory, prepared) -> OperatingPointCandidates:
    plan = SearchPlan(kind="operating", model=MODEL, space={}, starts=[{"codebooks": 24}])
    return OperatingPointCandidates(plan, prepared, tmp_path_factory.mktemp("operating"))


@pytest.fixture(scope="module")
def waveform() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.cumsum(rng.standard_normal(6 * 16000, dtype=np.float32))[None] * 1e-3


def coded(candidates, waveform, **settings):
    system = candidates.system({"codebooks": 24, **settings})
    packets = system.encode(torch.from_numpy(waveform)[:, None])
    return packets, system.decode(packets)


@pytest.mark.parametrize("settings", [{}, {"kbps": 3.0}, {"kbps": 3.0, "codebooks": 12, "packet_s": 1.0}])
def test_packets_take_the_bytes_that_they_take_in_files(settings, candidates, waveform, tmp_path):
    audio.write(tmp_path / "a.wav", waveform, 16000, "FLOAT")
    packets, _ = coded(candidates, waveform, **settings)
    report = encode_file(
        tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(candidates.model), CodingOptions(**settings)
    )
    with PacketReader(tmp_path / "a.nac") as reader:
        start = len(start_bytes(reader.header))
    assert packets.bits / 8 == report.bytes_total - start


def test_packets_of_fixed_width_are_those_of_the_live_profile(candidates, waveform):
    packets, _ = coded(candidates, waveform, entropy="none")
    assert packets.bits / 8 == len(packets.packets) * (1 + 24 * 10 // 8 + 2)  # docs/bitstream.md, the live profile


def test_decoded_audio_does_not_depend_on_entropy_coding(candidates, waveform):
    expected = coded(candidates, waveform)[1]
    assert torch.equal(coded(candidates, waveform, entropy="none")[1], expected)


def test_a_decoder_in_bfloat16_has_an_error_below_one_percent(candidates, waveform):
    packets, expected = coded(candidates, waveform)
    reduced = candidates.system({"codebooks": 24, "precision": "bfloat16"}).decode(packets)
    error = (reduced - expected).square().mean() / expected.square().mean()
    assert 0 < error < 0.01


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"entropy": "order 0"}, "order 0"),
        ({"precision": "float64"}, "float64"),
        ({"runtime": "onnx", "precision": "bfloat16"}, "bfloat16"),
        ({"runtime": "jax"}, "jax"),
        ({"threads": 0}, "threads"),
        ({"packet_s": 1000.0}, "packet_s"),
    ],
)
def test_settings_that_do_not_fit_together_are_an_error(candidates, settings, name):
    with pytest.raises(UserError, match=name):
        candidates.check_settings(settings)


def test_the_usual_settings_are_those_of_the_documentation(candidates):
    assert asdict(candidates.check_settings({})) == asdict(OperatingSettings(24))
