"""Shards of tokens that are damaged or hostile."""

import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest

from codec.batch.decode import decode_batch
from codec.coding import shards
from codec.pretrained.checkpoint import fingerprint
from codec.pretrained.loaded_model import LoadedModel
from tests.helpers.token_shards import numpy_bytes, write_tar

GOOD = {
    "source": "a.wav", "sample_rate": 16000, "channels": 1, "samples": 640, "seconds": 0.04, "model_rate": 16000,
    "codebooks": 2, "codebook_size": 16, "frames": 3, "frames_per_second": 50.0, "axes": ["quantizers", "frames"],
    "stereo": None, "manifest": {},
}  # fmt: skip


CODES = numpy_bytes(np.zeros((2, 3), np.uint16))


def with_header(text: bytes) -> bytes:
    """An array whose header says this."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(24)


@pytest.mark.parametrize(
    ("changed", "codes", "says"),
    [
        ({"samples": -1}, CODES, "samples -1 is outside"),
        ({"samples": 1 << 62}, CODES, r"\[1, 2, 3\]"),
        ({"samples": True}, CODES, "samples is True"),
        ({"channels": 2}, CODES, "shape"),
        ({"sample_rate": "16000"}, CODES, "sample_rate is '16000'"),
        ({"model": "0" * 16}, CODES, "pass the right --model"),
        ({"source": None}, CODES, "source is None"),
        ({}, numpy_bytes(np.full((2, 3), 16)), "not all from 0 to 15"),
        ({}, numpy_bytes(np.zeros((4, 3), int)), "4 codebooks.* 3"),
        ({}, numpy_bytes(np.zeros((2, 3))), "float64, not integers"),
        ({}, numpy_bytes(np.array([["a"]], object)), "not integers"),
        ({}, CODES.replace(b"(2, 3)", b"(9, 3)"), "cannot be read"),
        ({}, CODES[:-1], "cannot be read"),
        ({}, b"", "cannot be read"),
        ({}, with_header(b"{'descr': '<i4', 'fortran_order': False, 'shape': " + b"(" * 4000 + b")" * 4000), "nested"),
        ({}, with_header(b"{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3)}" + b" " * 2000), "long"),
        ({}, with_header(b"{'descr': '<i4', 'fortran_order': False, 'shape': (2, 1" + b"0" * 30 + b")}"), "cannot be"),
        ({}, None, "no npy member"),
        (None, CODES, "no json member"),
    ],
)
def test_damaged_samples_fail_alone(tmp_path, codec, changed, codes, says):
    """And the next array is decoded."""
    good = {"model": fingerprint(codec), **GOOD}
    told = None if changed is None else json.dumps({**good, **changed}).encode()
    write_tar(tmp_path / "t.tar", {"a.npy": codes, "a.json": told, "b.npy": CODES, "b.json": json.dumps(good).encode()})
    batch = decode_batch([tmp_path / "t.tar"], tmp_path / "out", LoadedModel(codec))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.wav"] and len(batch.failures) == 1
    assert re.search(says, batch.failures[0].reason) and "\n" not in batch.failures[0].reason
    assert batch.failures[0].reason.startswith(f"{tmp_path}/t.tar/a: ")


def test_nothing_is_written_outside_the_folder(tmp_path, codec):
    for number, name in enumerate(("../a.npy", "/tmp/a.npy", "b/../../a.npy")):
        with tarfile.open(tmp_path / f"{number}.tar", "w") as tar:
            tar.addfile(tarfile.TarInfo(name))
    (tmp_path / "3.tar").write_bytes(b"no tar" * 1000)
    (tmp_path / "4.tar").write_bytes(bytes(10240))
    batch = decode_batch([tmp_path], tmp_path / "out", LoadedModel(codec))
    assert len(batch.failures) == 5 and not (tmp_path / "out").exists()
    assert all("codec tokens" in failure.reason for failure in batch.failures)


def test_a_damaged_shard_fails_alone(tmp_path, codec):
    """With a key that is its own name, sizes beyond any memory, and headers that refer to further headers."""
    good = json.dumps({"model": fingerprint(codec), **GOOD}).encode()
    for name in ("a", "good"):
        write_tar(tmp_path / f"{name}.tar", {f"{name}.npy": CODES, f"{name}.json": good})
    (tmp_path / "a.tar").write_bytes((tmp_path / "a.tar").read_bytes()[:2048] + b"x" * 512)
    for number, kind in enumerate((tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE)):
        member = tarfile.TarInfo("b.npy")
        member.size, member.type = 1 << 60, kind
        (tmp_path / f"{number}.tar").write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    member = tarfile.TarInfo("c.npy")
    member.size, member.type = 1, tarfile.GNUTYPE_LONGNAME
    (tmp_path / "3.tar").write_bytes((member.tobuf(tarfile.GNU_FORMAT) + bytes(512)) * 3000)
    batch = decode_batch([tmp_path], tmp_path / "out", LoadedModel(codec))
    assert [report.source for report in batch.reports] == [tmp_path / "a.tar/a", tmp_path / "good.tar/good"]
    assert {failure.path.name for failure in batch.failures} >= {"0.tar", "1.tar", "2.tar", "3.tar", "a.tar"}
    assert not any("\n" in failure.reason for failure in batch.failures)


def test_keys_are_inverted():
    for name in ("a", "a.b", "x/a%2E.b", "x.y/%", "ä/.c", "%252E"):
        key = shards.sample_key(Path(name))
        assert shards.key_path(key) == Path(name) and "." not in Path(key).name
