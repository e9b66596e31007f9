"""ONNX graphs: what ONNX Runtime computes with them is what the codec computes, to within rounding."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile
import torch
from safetensors.numpy import load_file

import codec as library
from codec.bitstream.codes import NO_CODE
from codec.coding.files import decode_file, encode_file
from codec.coding.options import CodingOptions, DecodingOptions
from codec.errors import UserError
from codec.pretrained import onnx_backend
from codec.pretrained.export import GraphOptions, export_model
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.model_folder import CONFIG
from codec.pretrained.onnx_backend import CONSTANTS, DECODER, ENCODER, TABLES, decoder_graph, frame_graph, with_graphs
from codec.pretrained.registry import load_model
from eval.pages.web_runtime import WASM_FILES
from tests.helpers.node import web_runtime
from tests.helpers.tiny import tiny_model

EXAMPLES = Path(__file__).parents[2] / "docs/examples"
KINDS = {
    "rvq": (),
    "fsq": ("--codec.quantizer.kind=fsq",),
}


@pytest.fixture(
    scope="module", params=["learned", *(pytest.param(name, marks=pytest.mark.long) for name in ("rvq", "fsq"))]
)
def exported(request, tmp_path_factory):
    """The folder of a model with graphs."""
    if request.param == "learned":
        return request.getfixturevalue("exported_model")
    folder = tmp_path_factory.mktemp("exported")
    tiny_model(folder / "model", *KINDS[request.param])
    export_model(folder / "model", folder / "out", GraphOptions(dtypes=("float16", "int8"), single_frames=True))
    return folder / "out"


def noise(*shape: int) -> torch.Tensor:
    return 0.1 * torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_the_example_of_the_document_gives_the_models_results(exported, tmp_path, monkeypatch):
    """What stands there, executed, is the codec, with blocks of any size."""
    (tmp_path / "model").symlink_to(exported)
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).parents[2] / "docs/onnx.md").read_text()
    told: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], told)
    codec = load_model(str(exported)).codec
    assert told["sound"].shape == (2, 19 * codec.config.latent_hop)
    for frames in (1, 7, 40):
        wave = noise(2, 1, 40 * codec.config.latent_hop - codec.config.hop)
        codes = codec.encode(wave)
        padded = np.pad(wave[:, 0].numpy(), ((0, 0), (0, codec.config.hop)))
        found = told["run"](exported / ENCODER, padded, frames * codec.config.latent_hop)
        assert found.shape == codes.shape and (found == codes.numpy()).mean() > 0.99
        sound = told["run"](exported / DECODER, codes.numpy(), frames)[:, codec.config.hop :]
        np.testing.assert_allclose(sound, codec.decode(codes)[:, 0].numpy(), atol=1e-5)


def test_metadata_of_graphs(exported):
    told = onnxruntime.InferenceSession(exported / DECODER).get_modelmeta().custom_metadata_map
    codec = library.load(exported)
    config = codec.model.config
    assert told["fingerprint"] == codec.fingerprint and int(told["sample_rate"]) == codec.sample_rate
    assert (int(told["latent_hop"]), int(told["hop"])) == (config.latent_hop, config.hop)


def test_constants_and_tables_are_those_of_model_and_graphs(exported):
    told = json.loads((exported / CONSTANTS).read_text())
    model = load_model(str(exported)).codec
    for name in ("sample_rate", "latent_hop", "hop", "bits_per_code", "stereo"):
        assert told[name] == getattr(model.config, name)
    assert (told["codebooks"], told["codebook_size"]) == model.tables.frequencies.shape[::2]
    tables = {name: torch.from_numpy(array) for name, array in load_file(exported / TABLES).items()}
    torch.testing.assert_close(tables, dict(model.tables.state_dict()), rtol=0, atol=0)
    for name in (ENCODER, DECODER):
        inputs = onnxruntime.InferenceSession(exported / name).get_inputs()[1:]
        states = [{"shape": each.shape[1:], "type": {"tensor(float)": "float32"}[each.type]} for each in inputs]
        assert told["states"][name] == states


@pytest.mark.parametrize("how", [{}, {"kbps": 0.4}, {"codebooks": 2}])
def test_files_are_the_same_to_within_rounding(exported, tmp_path, how):
    soundfile.write(tmp_path / "a.wav", noise(30 * 22050, 2).numpy(), 22050)
    plain, graphs = load_model(str(exported)), load_model(str(exported), "onnx")
    if how.get("kbps") and plain.config.quantizer.contexts == 1:
        pytest.skip("no contexts")
    reports = [
        encode_file(tmp_path / "a.wav", tmp_path / f"{i}.nac", c, CodingOptions(**how))
        for i, c in enumerate((plain, graphs))
    ]
    assert reports[0].bytes_payload == pytest.approx(reports[1].bytes_payload, rel=0.01)
    for codec in (plain, graphs):
        decode_file(tmp_path / "1.nac", tmp_path / f"{codec is plain}.wav", codec, DecodingOptions(subtype="FLOAT"))
    sounds = [soundfile.read(tmp_path / f"{name}.wav")[0] for name in ("True", "False")]
    np.testing.assert_allclose(*sounds, atol=1e-5)
    assert np.abs(sounds[0]).max() > 0.01


def test_missing_codes_fewer_codebooks_and_latents(exported):
    plain, graphs = library.load(exported), library.load(exported, device="onnx")
    codes = plain.encode(noise(16000), 16000)
    holes = codes.codes.clone()
    holes[1:, ::3] = NO_CODE
    for given in (holes, codes.codes[:1], codes.codes):
        torch.testing.assert_close(graphs.decode(given), plain.decode(given), atol=1e-5, rtol=0)
    latents = [c.encode(noise(16000), 16000, quantize=False).latents for c in (plain, graphs)]
    assert torch.equal(*latents)


def test_a_model_with_graphs_can_be_pickled(exported):
    graphs = load_model(str(exported), "onnx", threads=2).codec
    again = pickle.loads(pickle.dumps(graphs))
    wave = noise(1, 1, 9999).numpy()
    assert again.backend.threads == 2
    np.testing.assert_equal(*(one.stream_encoder(block=31).push(wave).codes for one in (again, graphs)))


def test_files_are_coded_without_pytorch(exported, tmp_path):
    """To the same bytes as with the graphs beside the networks."""
    soundfile.write(tmp_path / "a.wav", noise(9999).numpy(), 16000)
    words = ["--model", str(exported), "--device", "onnx", "--force", "--out"]
    run = f"""
import contextlib, sys
from codec.cli import main
with contextlib.suppress(SystemExit):
    main(["encode", "a.wav", *{words!r}, "a.nac"])
with contextlib.suppress(SystemExit):
    main(["decode", "a.nac", *{words!r}, "b.wav"])
assert not {{"torch", "scipy", "onnx"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", run], cwd=tmp_path, check=True, capture_output=True)
    graphs = library.load(exported, device="onnx").model
    encode_file(tmp_path / "a.wav", tmp_path / "other.nac", graphs)
    decode_file(tmp_path / "other.nac", tmp_path / "other.wav", graphs)
    for pair in (("a.nac", "other.nac"), ("b.wav", "other.wav")):
        assert len({(tmp_path / name).read_bytes() for name in pair}) == 1


def test_graphs_that_cannot_be_used_are_refused(exported, model, tmp_path):
    with pytest.raises(UserError, match="codec export MODEL --onnx"):
        load_model(str(model), "onnx")
    with pytest.raises(UserError, match="not bfloat16"):
        library.load(exported, device="onnx", dtype="bfloat16")
    export_model(tiny_model(tmp_path / "model", seed=1), tmp_path / "other")
    for name in (ENCODER, DECODER):
        (tmp_path / "other" / name).write_bytes((exported / name).read_bytes())
    with pytest.raises(UserError, match=ENCODER):
        load_model(str(tmp_path / "other"), "onnx").codec.stream_encoder()
    with pytest.raises(UserError, match="of another model"):
        with_graphs(load_model(str(tmp_path / "other")).codec, exported)


def copy_of(exported: Path, folder: Path, name: str, graph: bytes, *, named: bool) -> Path:
    """The model with another graph, which its config may name."""
    shutil.copytree(exported, folder)
    (folder / name).write_bytes(graph)
    if named:
        config = json.loads((folder / CONFIG).read_text())
        config["graphs"][name] = sha256(graph).hexdigest()
        (folder / CONFIG).write_text(json.dumps(config))
    return folder


def test_a_graph_with_other_weights_and_the_same_metadata_is_refused(exported, tmp_path):
    model = onnx.load(exported / DECODER)
    weights = next(one for one in model.graph.initializer if len(one.raw_data) > 1000)
    weights.raw_data = weights.raw_data[:-4] + np.float32(0.5).tobytes()
    other = copy_of(exported, tmp_path / "other", DECODER, model.SerializeToString(), named=False)
    with pytest.raises(UserError, match=DECODER):
        load_model(str(other), "onnx").codec.stream_decoder()
    config = json.loads((exported / CONFIG).read_text())
    assert config["graphs"] == {path.name: sha256(path.read_bytes()).hexdigest() for path in exported.glob("*.onnx")}


def test_damaged_graphs_are_refused(exported, tmp_path):
    whole = (exported / ENCODER).read_bytes()
    cut = copy_of(exported, tmp_path / "cut", ENCODER, whole[:5000], named=True)
    with pytest.raises(UserError, match="cannot be read") as error:
        load_model(str(cut), "onnx").codec.stream_encoder()
    assert "\n" not in str(error.value)
    model = onnx.load(exported / DECODER)
    shape = onnx.numpy_helper.from_array(np.array([7, 7, 7, 7], np.int64), "seven")
    model.graph.initializer.append(shape)
    kept = model.graph.output[0].name
    for node in model.graph.node:  # the waveform goes through a reshape that does not fit it
        node.output[:] = ["fits_not" if name == kept else name for name in node.output]
    model.graph.node.append(onnx.helper.make_node("Reshape", ["fits_not", "seven"], [kept]))
    wrong = copy_of(exported, tmp_path / "wrong", DECODER, model.SerializeToString(), named=True)
    codec = library.load(wrong, device="onnx")
    with pytest.raises(UserError, match="cannot compute") as error:
        codec.decode(codec.encode(noise(9999), 16000))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("dtype", "least_db", "error"), [("float16", 55, 2**-11), ("int8", 35, 1 / 250)])
def test_decoders_with_smaller_weights(exported, dtype, least_db, error):
    """Each stored weight is within half a step of what it stands for, and what is heard hardly changes.

    The matrix of the MDCT is not among them.
    """
    whole, small = onnx.load(exported / DECODER), onnx.load(exported / decoder_graph(dtype))
    expected, stored = (
        {one.name: onnx.numpy_helper.to_array(one) for one in model.graph.initializer} for model in (whole, small)
    )
    kinds = {str(values.dtype) for values in stored.values()}
    assert dtype in kinds and len(small.SerializeToString()) < 0.8 * len(whole.SerializeToString())
    for name in (name.removesuffix("_stored") for name in stored if name.endswith("_stored")):
        scale = stored.get(f"{name}_scale", np.float32(1))
        found = stored[f"{name}_stored"].astype(np.float32) * scale
        limit = error if stored[f"{name}_stored"].dtype == np.int8 else 2**-11
        assert (np.abs(found - expected[name]) <= limit * np.abs(expected[name]).max(0) + 1e-7).all()
    plain, graphs = library.load(exported), library.load(exported, device="onnx", dtype=dtype)
    size = plain.model.config.hop, 2 * plain.model.config.hop
    assert [size in {array.shape for array in arrays.values()} for arrays in (expected, stored)] == [True, False]
    codes = plain.encode(noise(16000), 16000).codes
    truth, found = plain.decode(codes), graphs.decode(codes)
    difference = (found - truth).square().sum()
    assert 0 < difference < truth.square().sum() * 10 ** (-least_db / 10)
    alone = load_model(str(exported), "onnx", dtype=dtype)
    np.testing.assert_array_equal(library.AudioCodec(LoadedModel(graphs.model.codec)).decode(codes), found)
    stream = alone.codec.stream_decoder()
    np.testing.assert_allclose(
        np.concatenate([stream.push(codes[None].numpy()), stream.flush()], 2)[0, 0, :16000], found, atol=1e-6
    )


def test_a_decoder_that_was_not_exported_is_asked_for(exported, tmp_path):
    (tmp_path / "model").mkdir()
    for path in exported.iterdir():
        if path.name != "decoder.int8.onnx":
            shutil.copy(path, tmp_path / "model")
    with pytest.raises(UserError, match=r"decoder.int8.onnx: no such graph; .*--onnx --dtype int8"):
        load_model(str(tmp_path / "model"), "onnx", dtype="int8")


@pytest.mark.parametrize(("dtype", "least_db"), [("float32", 90), ("int8", 35)])
def test_single_frames_have_graphs_of_their_own(exported, dtype, least_db):
    """Codes are those of PyTorch, also of two streams; the 8-bit weights of the decoder are hardly heard."""
    plain, graphs = (
        load_model(str(exported), device, dtype=kind).codec for device, kind in (("cpu", "float32"), ("onnx", dtype))
    )
    wave = noise(2, 1, 40 * plain.config.latent_hop).numpy()
    encoders, decoders = (
        [getattr(one, name)(2, block=1) for one in (plain, graphs)] for name in ("stream_encoder", "stream_decoder")
    )
    expected, found = (encoder.push(wave).codes for encoder in encoders)
    assert found.shape == expected.shape and (found == expected).mean() > 0.99
    truth, heard = (decoder.push(expected) for decoder in decoders)
    assert 0 < np.square(heard - truth).sum() < np.square(truth).sum() * 10 ** (-least_db / 10)
    stored = onnx.load(exported / frame_graph(decoder_graph(dtype)))
    assert [value.type.tensor_type.shape.dim[0].dim_value for value in stored.graph.input] == [1] * len(
        stored.graph.input
    )
    assert ("MatMulNBits" in {node.op_type for node in stored.graph.node}) == (dtype == "int8")


def test_graphs_for_single_frames_compute_them(exported, tmp_path):
    """And they alone: the graphs for blocks of any size are not opened for them."""
    folder = shutil.copytree(exported, tmp_path / "model")
    codec = load_model(str(folder), "onnx").codec
    (folder / DECODER).unlink()
    assert codec.stream_decoder(block=1).push(np.zeros((1, 1, 2), int)).shape[2] == codec.config.latent_hop
    (folder / frame_graph(ENCODER)).unlink()
    with pytest.raises(UserError, match=r"encoder.frame.onnx: no such graph; .*--onnx --single-frames"):
        codec.stream_encoder(block=1).push(noise(1, 1, 640).numpy())


def test_a_graph_that_is_replaced_while_it_is_read_is_refused(exported, tmp_path, monkeypatch):
    folder, opened = shutil.copytree(exported, tmp_path / "model"), onnx_backend._session

    def replace_then_open(path: Path, threads: int) -> Any:
        shutil.copy(exported / path.name, tmp_path / "new")
        (tmp_path / "new").replace(path)
        return opened(path, threads)

    monkeypatch.setattr(onnx_backend, "_session", replace_then_open)
    with pytest.raises(UserError, match="replaced"):
        load_model(str(folder), "onnx").codec.stream_encoder()


def test_an_export_is_complete_or_absent(exported, tmp_path, monkeypatch):
    before = {path.name: path.read_bytes() for path in exported.iterdir()}
    with pytest.raises(UserError, match=str(exported)):
        export_model(exported, exported)
    assert {path.name: path.read_bytes() for path in exported.iterdir()} == before
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"\(onnx, onnxscript\); pip install 'lathe-codec\[onnx\]'"):
        export_model(exported, tmp_path / "new", GraphOptions())
    assert not list(tmp_path.iterdir())


def program_in_javascript(folder: Path) -> list[str]:
    """The words that run the example in Node, with onnxruntime-web in the place of its sister for Node, ten times its
    size, which has the same interface."""
    runtime = web_runtime()
    package = folder / "node_modules/onnxruntime-node"
    package.mkdir(parents=True)
    one_thread = "ort.env.wasm.numThreads = 1;\nexport default ort;\n"
    (package / "index.mjs").write_text(f'import ort from "{(runtime / WASM_FILES[0]).as_uri()}";\n{one_thread}')
    (package / "package.json").write_text('{"exports": "./index.mjs"}')
    return ["node", shutil.copy(EXAMPLES / "decode.mjs", folder)]


def program_in_cpp(folder: Path) -> list[str]:
    """The words that run the example in C++, compiled with ONNX Runtime from the folder of the variable ONNXRUNTIME."""
    home = os.environ.get("ONNXRUNTIME", "")
    if not home or shutil.which("g++") is None:
        pytest.skip("set ONNXRUNTIME to the folder of an unpacked release of ONNX Runtime")
    words = [
        "g++",
        "-std=c++17",
        "-Wall",
        "-Werror",
        f"-I{home}/include",
        str(EXAMPLES / "decode.cpp"),
        f"-L{home}/lib",
    ]
    subprocess.run([*words, "-lonnxruntime", f"-Wl,-rpath,{home}/lib", "-o", str(folder / "decode")], check=True)
    return [str(folder / "decode")]


@pytest.mark.parametrize("program", [program_in_javascript, program_in_cpp])
def test_examples_in_other_languages_decode_as_the_library_does(exported, tmp_path, program):
    """Blocks and a remainder, all codebooks or fewer, with the graph in float32 and that in int8."""
    words = program(tmp_path)
    plain = library.load(exported)
    codes = plain.encode(noise(30000).numpy(), 16000).codes
    for name, given, dtype in (("all", codes, "float32"), ("few", codes[:2].astype(np.int32), "int8")):
        np.save(tmp_path / f"{name}.npy", given)
        files = [exported / decoder_graph(dtype), tmp_path / f"{name}.npy", tmp_path / f"{name}.wav"]
        subprocess.run([*words, *map(str, files)], check=True, capture_output=True)
        sound, rate = soundfile.read(files[2], dtype="float32")
        expected = library.load(exported, device="onnx", dtype=dtype).decode(given)
        assert rate == plain.sample_rate and len(sound) == len(expected) and np.abs(expected).max() > 0.003
        np.testing.assert_allclose(sound, expected, atol=1 / 32768)
    (tmp_path / "bad.npy").write_bytes(b"no array at all")
    ended = subprocess.run([*words, str(exported / DECODER), "bad.npy", "bad.wav"], cwd=tmp_path, capture_output=True)
    assert ended.returncode == 1 and not (tmp_path / "bad.wav").exists()
