"""Damaged data folders."""

import os
import shutil

import pytest

from codec.dataset.packed import packed_folder


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("packed.json", lambda path: path.write_text("{")),
        ("train.csv", lambda path: path.unlink()),
        ("train.csv", lambda path: path.write_text("clip_id,shard\n1,2\n")),
        ("train-00000.npy", lambda path: os.truncate(path, 5000)),
        ("val-00000.npy", lambda path: path.unlink()),
    ],
    ids=["stamp", "no table", "other table", "cut shard", "no shard"],
)
def test_damaged_data_is_found_before_training_begins(codec, place, prepared, corpus, tmp_path, name, damage):
    data = tmp_path / "data"
    shutil.copytree(prepared, data)
    path = packed_folder(data, 16000, 1) / name
    damage(path)
    train = ["train", place / "tiny.yaml", "--data", data, "--run", tmp_path / "run"]
    complaint = codec(*train).complaint
    assert "run codec prepare again" in complaint and not (tmp_path / "run").exists()
    if "delete it" in complaint:
        path.unlink(missing_ok=True)
    assert codec("prepare", corpus, "--out", data, "-j", 1).status == 0
    assert path.read_bytes() == (packed_folder(prepared, 16000, 1) / name).read_bytes()
