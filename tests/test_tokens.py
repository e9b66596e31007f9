"""Shards of codes, read by what others would read them with: tarfile, NumPy, json."""

import csv
import io
import json
import os
import pickle
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec import shards
from codec.batch import decode_batch, encode_batch
from codec.bitstream.container import Reader
from codec.checkpoint import fingerprint
from codec.cli import BAD_INPUT, FAILED, main
from codec.errors import UserError
from codec.files import range_coder
from codec.library import finder
from codec.running import BatchReport
from codec.tokens import encode_tokens, token_jobs


def make(path: Path, samples: int = 8000, rate: int = 16000, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(samples).uniform(-0.1, 0.1, (samples, channels))
    soundfile.write(path, noise, rate)
    return path


@pytest.fixture
def sounds(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make(Path("in/a.wav"), 9001)
    make(Path("in/x/b.c.flac"), 30011, 44100, 2)
    make(Path("in/x/y/d%é.wav"), 5000, 8000, 3)
    make(Path("in/x/e.wav"), 0)
    make(Path("in/z.wav"), 1)
    return tmp_path


def read(*paths: Path) -> dict[str, dict[str, bytes]]:
    """What WebDataset makes of shards: neighbours with one key, and what comes after the first dot of the name."""
    found: dict[str, dict[str, bytes]] = {}
    for path in paths:
        with tarfile.open(path) as tar:
            for member in tar:
                key, kind = re.fullmatch(r"((?:.*/|)[^.]+)[.]([^/]*)", member.name).groups()
                assert key not in found or key == list(found)[-1]
                found.setdefault(key, {})[kind] = tar.extractfile(member).read()
    return found


def figures(batch: BatchReport) -> tuple[int, int, int]:
    return len(batch.reports), len(batch.kept), len(batch.failures)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_shards_hold_the_codes_of_nac_files_and_lead_back_to_their_sound(sounds, codec):
    assert figures(encode_tokens([Path("in")], Path("tok"), codec, codebooks=2, per_shard=2)) == (5, 0, 0)
    encode_batch([Path("in")], Path("nac"), codec, codebooks=2)
    assert sorted(contents(Path("tok"))) == [f"tokens-{number:06}.tar" for number in range(3)]
    found = read(*sorted(Path("tok").iterdir()))
    sources = {
        "a": "in/a.wav", "x/b%2Ec": "in/x/b.c.flac", "x/e": "in/x/e.wav", "x/y/d%25é": "in/x/y/d%é.wav", "z": "in/z.wav"
    }  # fmt: skip
    assert list(found) == list(sources)
    for key, members in found.items():
        source = soundfile.info(sources[key])
        told, codes = json.loads(members["json"]), np.load(io.BytesIO(members["npy"]), allow_pickle=False)
        nac = Path("nac") / Path(sources[key]).relative_to("in").with_suffix(".nac")
        with Reader(nac) as reader:
            expected = np.concatenate([np.zeros((source.channels, 2, 0)), *reader.codes(range_coder(codec))], 2)
        assert codes.dtype == np.uint16
        assert (codes == (expected[0] if source.channels == 1 else expected)).all()
        assert told == {
            "source": sources[key],
            "sample_rate": source.samplerate,
            "channels": source.channels,
            "samples": source.frames,
            "seconds": source.frames / source.samplerate,
            "model": fingerprint(codec),
            "model_rate": 16000,
            "codebooks": 2,
            "codebook_size": 16,
            "frames": codes.shape[-1],
            "frames_per_second": codec.config.latents_per_second,
            "axes": ["channels", "quantizers", "frames"][-codes.ndim :],
            "stereo": "mid_side" if source.channels == 2 else None,
            "manifest": {},
        }
    decode_batch([Path("nac")], Path("expected"), codec, bits="32f")
    batch = decode_batch([Path("tok")], Path("wav"), codec, bits="32f")
    assert figures(batch) == (5, 0, 0)
    for path in (path for path in Path("expected").rglob("*") if path.is_file()):
        (expected, rate), (sound, same) = (
            soundfile.read(path),
            soundfile.read(Path("wav") / path.relative_to("expected")),
        )
        assert rate == same and sound.shape == expected.shape and (sound == expected).all()
    assert figures(decode_batch([Path("tok")], Path("wav"), codec, bits="32f")) == (0, 5, 0)
    batch = decode_batch([Path("tok/tokens-000000.tar")], Path("part"), codec, bits="32f", start=0.1, end=0.5)
    for report in batch.reports:
        (whole, rate), (part, _) = (
            soundfile.read(folder / report.target.relative_to("part")) for folder in (Path("wav"), Path("part"))
        )
        assert (part == whole[rate // 10 : rate // 2]).all() and len(part) == len(whole[rate // 10 : rate // 2]) > 0


def test_processes_and_second_runs_write_the_same_bytes(sounds, codec):
    encode_tokens([Path("in")], Path("1"), codec, per_shard=2)
    encode_tokens([Path("in")], Path("2"), codec, per_shard=2, workers=2)
    assert contents(Path("1")) == contents(Path("2"))
    written = Path("1/tokens-000000.tar").stat().st_mtime_ns
    assert figures(encode_tokens([Path("in")], Path("1"), codec, per_shard=2)) == (0, 5, 0)
    assert Path("1/tokens-000000.tar").stat().st_mtime_ns == written
    Path("1/tokens-000001.tar").unlink()
    assert figures(encode_tokens([Path("in")], Path("1"), codec, per_shard=2)) == (2, 3, 0)
    damaged = Path("1/tokens-000000.tar")
    damaged.write_bytes(damaged.read_bytes()[:2048])
    assert figures(encode_tokens([Path("in")], Path("1"), codec, per_shard=2)) == (1, 4, 0)
    make(Path("in/z.wav"), 2000)
    os.utime("in/z.wav", (2e9, 2e9))
    assert figures(encode_tokens([Path("in")], Path("1"), codec, per_shard=2)) == (1, 4, 0)
    assert figures(encode_tokens([Path("in")], Path("1"), codec, per_shard=2, codebooks=1)) == (5, 0, 0)
    assert figures(encode_tokens([Path("in")], Path("1"), codec, per_shard=2, codebooks=1, force=True)) == (5, 0, 0)


def test_the_model_of_tokens_is_found(sounds, codec, model):
    encode_tokens([Path("in/a.wav")], Path("tok"), codec)
    batch = decode_batch([Path("tok")], Path("wav"), pickle.loads(pickle.dumps(finder([model]))), suffix="flac")
    assert [one.target for one in batch.reports] == [Path("wav/a.flac")]
    (failure,) = decode_batch([Path("tok")], Path("none"), finder()).failures
    assert failure.reason.startswith("tok/tokens-000000.tar/a: coded with model")
    job = token_jobs(Path("tok/tokens-000000.tar"), Path("wav"), ".wav")
    assert pickle.loads(pickle.dumps(job)) == job


def test_bad_files_are_reported_left_out_and_tried_again(sounds, codec, model, capsys):
    Path("in/bad.wav").write_text("no sound")
    words = ["tokens", "in", "--out", "tok", "--model", str(model)]
    for done, kept in ((5, 0), (0, 5)):
        with pytest.raises(SystemExit) as ended:
            main(words)
        out, complaints = capsys.readouterr()
        assert ended.value.code == FAILED and f"{done} done, {kept} were there already, 1 failed" in out
        assert "codec: error: in/bad.wav: not a readable sound file" in complaints
        if done:
            before = contents(Path("tok"))
            assert re.search(r"tokens of 6/6 files, .* 100%", complaints)
    assert contents(Path("tok")) == before and "bad" not in read(Path("tok/tokens-000000.tar"))
    make(Path("in/bad.wav"))
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    summary = json.loads(capsys.readouterr().out)["summary"]
    assert ended.value.code == 0 and (summary["done"], summary["skipped"]) == (1, 5)
    encode_tokens([Path("in")], Path("afresh"), codec)
    assert contents(Path("tok")) == contents(Path("afresh"))
    Path("in/bad.wav").unlink()
    encode_tokens([Path("in")], Path("tok"), codec)
    assert contents(Path("tok")) == before


def test_a_shard_of_which_nothing_is_left_is_made_again(tmp_path, codec):
    source, out = make(tmp_path / "a.wav"), tmp_path / "tok"
    encode_tokens([source], out, codec)
    before = contents(out)
    source.write_text("no sound")
    os.utime(source, (2e9, 2e9))
    assert figures(encode_tokens([source], out, codec)) == (0, 0, 1) and contents(out) == {}
    make(source)
    assert figures(encode_tokens([source], out, codec)) == (1, 0, 0) and contents(out) == before


def test_columns_of_the_manifest_go_along(sounds, codec):
    with Path("in/list.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "group", "transcript"])
        rows.writerow(["a.wav", "anna", "so, said Å"])
        rows.writerow([Path("in/x/b.c.flac").absolute(), "bert", ""])
        rows.writerow(["gone.wav", "carl", "not here"])
    encode_tokens([Path("in")], Path("tok"), codec)
    assert figures(encode_tokens([Path("in")], Path("tok"), codec, manifest=Path("in/list.csv"))) == (2, 3, 0)
    told = {key: json.loads(members["json"])["manifest"] for key, members in read(*Path("tok").iterdir()).items()}
    assert told["a"] == {"group": "anna", "transcript": "so, said Å"}
    assert told["x/b%2Ec"] == {"group": "bert", "transcript": ""} and told["z"] == {}

    batch = encode_tokens([], Path("alone"), codec, manifest=Path("in/list.csv"))
    assert figures(batch) == (2, 0, 1) and "gone.wav: no such file" in batch.failures[0].reason
    alone = {key: json.loads(members["json"])["manifest"] for key, members in read(*Path("alone").iterdir()).items()}
    assert alone == {key: told[key] for key in ("a", "x/b%2Ec")}
    with pytest.raises(UserError, match="no sound files given"):
        encode_tokens([], Path("alone"), codec)

    Path("other.csv").write_text("name\na.wav\n")
    Path("none.csv").write_text("path\nb.wav\n")
    for name, says in (("other", "with a column named path"), ("none", "names none of"), ("gone", "cannot be read")):
        with pytest.raises(UserError, match=f"^{name}.csv: .*{says}"):
            encode_tokens([Path("in")], Path("tok"), codec, manifest=Path(f"{name}.csv"))
    Path("blank.csv").write_text("path,group\n")
    with pytest.raises(UserError, match=r"^blank.csv: names no files"):
        encode_tokens([], Path("tok"), codec, manifest=Path("blank.csv"))


def test_what_would_mix_up_files_is_refused(sounds, codec, model, capsys):
    with pytest.raises(UserError, match=r"in/a.wav and other/a.wav would both become tok/a"):
        encode_tokens([Path("in"), make(Path("other/a.wav"))], Path("tok"), codec)
    encode_tokens([Path("in/x")], Path("tok"), codec, per_shard=1)
    with pytest.raises(UserError, match=r"tok/tokens-000001.tar: of other files or another --per-shard; delete it"):
        encode_tokens([Path("in/x")], Path("tok"), codec)
    for more, says in ((["--codebooks", "9"], "1 to 3 codebooks, not 9"), (["--per-shard", "0"], "above 0")):
        with pytest.raises(SystemExit) as ended:
            main(["tokens", "in/x", "--out", "new", "--model", str(model), *more])
        assert ended.value.code == BAD_INPUT and says in capsys.readouterr().err


GOOD = {
    "source": "a.wav", "sample_rate": 16000, "channels": 1, "samples": 640, "seconds": 0.04, "model_rate": 16000,
    "codebooks": 2, "codebook_size": 16, "frames": 3, "frames_per_second": 50.0, "axes": ["quantizers", "frames"],
    "stereo": None, "manifest": {},
}  # fmt: skip


def numpy_bytes(codes: np.ndarray) -> bytes:
    data = io.BytesIO()
    np.save(data, codes)
    return data.getvalue()


CODES = numpy_bytes(np.zeros((2, 3), np.uint16))


@pytest.mark.parametrize(
    ("changed", "codes", "says"),
    [
        ({"samples": -1}, CODES, "samples -1 is outside"),
        ({"samples": 1 << 62}, CODES, r"shape \[1, 2, 3\] in place of"),
        ({"samples": True}, CODES, "samples is True"),
        ({"channels": 2}, CODES, "shape"),
        ({"sample_rate": "16000"}, CODES, "sample_rate is '16000'"),
        ({"model": "0" * 16}, CODES, "pass the right --model"),
        ({"source": None}, CODES, "source is None"),
        ({}, numpy_bytes(np.full((2, 3), 16)), "not all from 0 to 15"),
        ({}, numpy_bytes(np.zeros((4, 3), int)), "4 quantizers, of which the model has 3"),
        ({}, numpy_bytes(np.zeros((2, 3))), "float64 in C order, not integers"),
        ({}, numpy_bytes(np.array([["a"]], object)), "not integers"),
        ({}, CODES.replace(b"(2, 3)", b"(9, 3)"), "cannot be read"),
        ({}, CODES[:-1], "cannot be read"),
        ({}, b"", "cannot be read"),
        ({}, None, "no npy member"),
        (None, CODES, "no json member"),
    ],
)
def test_shards_that_are_wrong_are_one_line_each(tmp_path, codec, changed, codes, says):
    """And the next array is decoded."""
    good = {"model": fingerprint(codec), **GOOD}
    told = None if changed is None else json.dumps({**good, **changed}).encode()
    with tarfile.open(tmp_path / "t.tar", "w") as tar:
        for name, data in (("a.npy", codes), ("a.json", told), ("b.npy", CODES), ("b.json", json.dumps(good).encode())):
            if data is not None:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    batch = decode_batch([tmp_path / "t.tar"], tmp_path / "out", codec)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.wav"] and len(batch.failures) == 1
    assert re.search(says, batch.failures[0].reason) and "\n" not in batch.failures[0].reason
    assert batch.failures[0].reason.startswith(f"{tmp_path}/t.tar/a: ")


def test_nothing_is_written_outside_the_folder(tmp_path, codec):
    for number, name in enumerate(("../a.npy", "/tmp/a.npy", "b/../../a.npy")):
        with tarfile.open(tmp_path / f"{number}.tar", "w") as tar:
            tar.addfile(tarfile.TarInfo(name))
    (tmp_path / "3.tar").write_bytes(b"no tar" * 1000)
    (tmp_path / "4.tar").write_bytes(bytes(10240))
    batch = decode_batch([tmp_path], tmp_path / "out", codec)
    assert len(batch.failures) == 5 and not list((tmp_path / "out").iterdir())
    assert all("codec tokens" in failure.reason for failure in batch.failures)


def test_keys_are_inverted():
    for name in ("a", "a.b", "x/a%2E.b", "x.y/%", "ä/.c", "%252E"):
        key = shards.key_of(Path(name))
        assert shards.path_of(key) == Path(name) and "." not in Path(key).name
