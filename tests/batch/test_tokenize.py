"""Batches of files encoded to shards of tokens."""

import csv
import io
import json
import math
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from codec.batch.decode import decode_batch, token_jobs
from codec.batch.encode import encode_batch
from codec.batch.jobs import BatchOptions
from codec.batch.tokenize import default_per_shard, encode_tokens
from codec.bitstream.reader import PacketReader
from codec.cli import BAD_INPUT, main
from codec.coding.options import CodingOptions, DecodingOptions
from codec.errors import UserError
from codec.pretrained.checkpoint import fingerprint
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.registry import ModelFinder
from tests.helpers.token_shards import contents, figures, make_sound, numpy_bytes, read_shards, write_tar
from tests.test_readme import blocks


def test_shards_hold_the_codes_of_nac_files_and_decode_like_them(sounds, codec):
    batch = encode_tokens([Path("in")], Path("tok"), LoadedModel(codec), codebooks=2, per_shard=2)
    assert figures(batch) == (5, 0, 0)
    encode_batch([Path("in")], Path("nac"), LoadedModel(codec), CodingOptions(codebooks=2))
    assert sorted(contents(Path("tok"))) == [f"tokens-{number:06}.tar" for number in range(3)]
    found = read_shards(*sorted(Path("tok").glob("*.tar")))
    sources = {
        "a": "in/a.wav", "x/b%2Ec": "in/x/b.c.flac", "x/e": "in/x/e.wav", "x/y/d%25é": "in/x/y/d%é.wav", "z": "in/z.wav"
    }  # fmt: skip
    assert list(found) == list(sources)
    assert batch.summary.tokens == sum(np.load(io.BytesIO(members["npy"])).size for members in found.values())
    for key, members in found.items():
        source = soundfile.info(sources[key])
        told, codes = json.loads(members["json"]), np.load(io.BytesIO(members["npy"]), allow_pickle=False)
        nac = Path("nac") / Path(sources[key]).relative_to("in").with_suffix(".nac")
        with PacketReader(nac) as reader:
            expected = np.concatenate([np.zeros((source.channels, 2, 0)), *reader.codes(LoadedModel(codec).coder)], 2)
        assert codes.dtype == np.int32
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
            "frames_per_second": codec.config.frame_rate_hz,
            "axes": ["channels", "quantizers", "frames"][-codes.ndim :],
            "stereo": "mid_side" if source.channels == 2 else None,
            "manifest": {},
        }
    decode_batch([Path("nac")], Path("expected"), LoadedModel(codec), bits="32f")
    batch = decode_batch([Path("tok")], Path("wav"), LoadedModel(codec), bits="32f")
    assert figures(batch) == (5, 0, 0)
    codes = [np.load(io.BytesIO(parts["npy"])) for parts in read_shards(*Path("tok").glob("*.tar")).values()]
    assert batch.summary.tokens == sum(one.size for one in codes) and batch.summary.kbps == 0
    seconds = sum(report.seconds for report in batch.reports if report.tokens)
    assert batch.summary.tokens_per_second == pytest.approx(batch.summary.tokens / seconds)
    assert "tokens" in batch.summary.text() and "kbit/s" not in batch.summary.text()
    for path in (path for path in Path("expected").rglob("*") if path.is_file()):
        (expected, rate), (sound, same) = (
            soundfile.read(path),
            soundfile.read(Path("wav") / path.relative_to("expected")),
        )
        assert rate == same and sound.shape == expected.shape and (sound == expected).all()
    assert figures(decode_batch([Path("tok")], Path("wav"), LoadedModel(codec), bits="32f")) == (0, 5, 0)
    batch = decode_batch(
        [Path("tok/tokens-000000.tar")],
        Path("part"),
        LoadedModel(codec),
        DecodingOptions(start=0.1, end=0.5),
        bits="32f",
    )
    for report in batch.reports:
        (whole, rate), (part, _) = (
            soundfile.read(folder / report.target.relative_to("part")) for folder in (Path("wav"), Path("part"))
        )
        assert (part == whole[rate // 10 : rate // 2]).all() and len(part) == len(whole[rate // 10 : rate // 2]) > 0


def test_processes_and_second_runs_write_the_same_bytes(sounds, codec):
    encode_tokens([Path("in")], Path("1"), LoadedModel(codec), per_shard=2)
    encode_tokens([Path("in")], Path("2"), LoadedModel(codec), BatchOptions(workers=2), per_shard=2)
    assert contents(Path("1")) == contents(Path("2"))
    written = Path("1/tokens-000000.tar").stat().st_mtime_ns
    assert figures(encode_tokens([Path("in")], Path("1"), LoadedModel(codec), per_shard=2)) == (0, 5, 0)
    assert Path("1/tokens-000000.tar").stat().st_mtime_ns == written
    Path("1/tokens-000001.tar").unlink()
    assert figures(encode_tokens([Path("in")], Path("1"), LoadedModel(codec), per_shard=2)) == (2, 3, 0)
    damaged = Path("1/tokens-000000.tar")
    damaged.write_bytes(damaged.read_bytes()[:2048])
    assert figures(encode_tokens([Path("in")], Path("1"), LoadedModel(codec), per_shard=2)) == (1, 4, 0)
    make_sound(Path("in/z.wav"), 2000)
    os.utime("in/z.wav", (2e9, 2e9))
    assert figures(encode_tokens([Path("in")], Path("1"), LoadedModel(codec), per_shard=2)) == (1, 4, 0)
    assert figures(encode_tokens([Path("in")], Path("1"), LoadedModel(codec), per_shard=2, codebooks=1)) == (5, 0, 0)
    assert figures(
        encode_tokens([Path("in")], Path("1"), LoadedModel(codec), BatchOptions(force=True), per_shard=2, codebooks=1)
    ) == (5, 0, 0)


def test_small_corpora_make_several_shards(sounds, codec, monkeypatch):
    """A loader gives whole shards to its workers. The page on tokens is executed."""
    assert [default_per_shard(files) for files in (1, 8, 15, 16, 500, 8192, 10**6)] == [1, 1, 1, 2, 32, 1000, 1000]
    Path("in/x/e.wav").unlink()
    for number in range(5):
        make_sound(Path(f"in/more/{number}.wav"), 16000)
    assert len(encode_tokens([Path("in")], Path("tokens"), LoadedModel(codec), codebooks=2).reports) == 9
    assert len(list(Path("tokens").glob("*.tar"))) == 9
    ids, example = blocks("python", (Path(__file__).parents[2] / "docs/tokens.md").read_text(encoding="utf-8"))
    told: dict[str, Any] = {}
    exec(ids, told)
    assert told["codes"].shape == (2, 51) and len(told["ids"]) == 102 and len(told["sound"]) == 16000
    Path("example.py").write_text(example, encoding="utf-8")
    ran = subprocess.run([sys.executable, "example.py"], capture_output=True, text=True)
    losses = [float(line.split()[0]) for line in ran.stdout.splitlines()]
    assert ran.returncode == 0 and not ran.stderr and len(losses) == 9, ran.stderr
    assert all(0 < loss < math.log(16) + 2 for loss in losses)  # log 16 where nothing is known


def test_codes_index_tensors_without_conversion(sounds, codec):
    encode_tokens([Path("in/a.wav")], Path("tok"), LoadedModel(codec))
    (members,) = read_shards(Path("tok/tokens-000000.tar")).values()
    codes = torch.from_numpy(np.load(io.BytesIO(members["npy"])))
    table = torch.randn(16, 4)
    assert torch.equal(torch.nn.functional.embedding(codes, table), table[codes])
    assert torch.equal(torch.nn.functional.one_hot(codes.long() + 1, 17).argmax(-1), codes + 1)


def test_shards_of_earlier_versions_are_read(sounds, codec):
    """Which held integers of 16 bits without a sign; tokens writes them anew."""
    encode_tokens([Path("in/a.wav")], Path("tok"), LoadedModel(codec))
    shard = Path("tok/tokens-000000.tar")
    before, (members,) = shard.read_bytes(), read_shards(shard).values()
    write_tar(
        shard, {"a.npy": numpy_bytes(np.load(io.BytesIO(members["npy"])).astype("<u2")), "a.json": members["json"]}
    )
    assert decode_batch([shard], Path("old"), LoadedModel(codec)).reports
    assert (
        figures(encode_tokens([Path("in/a.wav")], Path("tok"), LoadedModel(codec))) == (1, 0, 0)
        and shard.read_bytes() == before
    )
    decode_batch([shard], Path("new"), LoadedModel(codec))
    assert Path("old/a.wav").read_bytes() == Path("new/a.wav").read_bytes()


def test_concurrent_files_give_the_same_bytes(sounds, codec):
    """In whatever order they end."""
    make_sound(Path("in/0.wav"), 200_000)
    encode_tokens([Path("in")], Path("1"), LoadedModel(codec), per_shard=9)
    encode_tokens([Path("in")], Path("2"), LoadedModel(codec), BatchOptions(concurrent_files=3), per_shard=9)
    assert contents(Path("1")) == contents(Path("2"))


def test_the_model_of_tokens_is_found(sounds, codec, model):
    encode_tokens([Path("in/a.wav")], Path("tok"), LoadedModel(codec))
    batch = decode_batch([Path("tok")], Path("wav"), pickle.loads(pickle.dumps(ModelFinder([model]))), suffix="flac")
    assert [one.target for one in batch.reports] == [Path("wav/a.flac")]
    (failure,) = decode_batch([Path("tok")], Path("none"), ModelFinder()).failures
    assert failure.reason.startswith("tok/tokens-000000.tar/a: coded with model")
    job, _ = token_jobs(Path("tok/tokens-000000.tar"), Path("wav"), ".wav")
    assert pickle.loads(pickle.dumps(job)) == job


def test_columns_of_the_manifest_become_metadata(sounds, codec):
    with Path("in/list.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "group", "transcript"])
        rows.writerow(["a.wav", "anna", "so, said Å"])
        rows.writerow([Path("in/x/b.c.flac").absolute(), "bert", ""])
        rows.writerow(["gone.wav", "carl", "not here"])
    encode_tokens([Path("in")], Path("tok"), LoadedModel(codec))
    assert figures(encode_tokens([Path("in")], Path("tok"), LoadedModel(codec), manifest=Path("in/list.csv"))) == (
        2,
        3,
        0,
    )
    told = {
        key: json.loads(members["json"])["manifest"] for key, members in read_shards(*Path("tok").glob("*.tar")).items()
    }
    assert told["a"] == {"group": "anna", "transcript": "so, said Å"}
    assert told["x/b%2Ec"] == {"group": "bert", "transcript": ""} and told["z"] == {}

    batch = encode_tokens([], Path("alone"), LoadedModel(codec), manifest=Path("in/list.csv"))
    assert figures(batch) == (2, 0, 1) and "gone.wav: no such file" in batch.failures[0].reason
    alone = {
        key: json.loads(members["json"])["manifest"]
        for key, members in read_shards(*Path("alone").glob("*.tar")).items()
    }
    assert alone == {key: told[key] for key in ("a", "x/b%2Ec")}
    with pytest.raises(UserError, match="--list"):
        encode_tokens([], Path("alone"), LoadedModel(codec))

    Path("other.csv").write_text("name\na.wav\n")
    Path("none.csv").write_text("path\nb.wav\n")
    for name in ("other", "none", "gone"):
        with pytest.raises(UserError, match=f"^{name}.csv: "):
            encode_tokens([Path("in")], Path("tok"), LoadedModel(codec), manifest=Path(f"{name}.csv"))
    Path("blank.csv").write_text("path,group\n")
    with pytest.raises(UserError, match=r"^blank\.csv: "):
        encode_tokens([], Path("tok"), LoadedModel(codec), manifest=Path("blank.csv"))


def test_conflicting_tokens_are_refused(sounds, codec, model, capsys):
    with pytest.raises(UserError, match=r"in/a.wav and other/a.wav .* tok/a"):
        encode_tokens([Path("in"), make_sound(Path("other/a.wav"))], Path("tok"), LoadedModel(codec))
    encode_tokens([Path("in/x")], Path("tok"), LoadedModel(codec), per_shard=1)
    with pytest.raises(UserError, match=r"^tok/tokens-000001.tar: .*--per-shard"):
        encode_tokens([Path("in/x")], Path("tok"), LoadedModel(codec), per_shard=9)
    for more, says in ((["--codebooks", "9"], "1 to 3 codebooks, not 9"), (["--per-shard", "0"], "above 0")):
        with pytest.raises(SystemExit) as ended:
            main(["tokens", "in/x", "--out", "new", "--model", str(model), *more])
        assert ended.value.code == BAD_INPUT and says in capsys.readouterr().err


def test_flat_shards_decode_like_others(sounds, codec):
    for name, flat in (("tok", False), ("flat", True)):
        encode_tokens([Path("in")], Path(name), LoadedModel(codec), codebooks=2, flat=flat)
        decode_batch([Path(name)], Path(f"{name}-wav"), LoadedModel(codec))
    paths = [path for path in Path("tok-wav").rglob("*") if path.is_file()]
    assert len(paths) == 5
    for path in paths:
        assert path.read_bytes() == (Path("flat-wav") / path.relative_to("tok-wav")).read_bytes()
    told = read_shards(*sorted(Path("flat").glob("*.tar")))
    ids = np.load(io.BytesIO(told["x/b%2Ec"]["npy"]))
    assert ids.ndim == 2 and len(ids) == 2 and json.loads(told["x/b%2Ec"]["json"])["axes"] == ["channels", "ids"]
    assert figures(encode_tokens([Path("in")], Path("flat"), LoadedModel(codec), codebooks=2, flat=True)) == (0, 5, 0)
    assert figures(encode_tokens([Path("in")], Path("flat"), LoadedModel(codec), codebooks=2)) == (5, 0, 0)
