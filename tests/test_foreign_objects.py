"""Files from others in which objects are stored: reading them refuses the file, and runs nothing.

The object makes an empty folder when it is restored. Checkpoints are in tests/training/test_resume.py, and arrays of
objects in shards of tokens in tests/coding/test_shards.py.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.dataset.location import open_split
from codec.errors import UserError
from codec.pretrained.checkpoint import load_codec
from codec.recipe import read_recipe


class MakesFolder:
    """An object that makes a folder when it is restored."""

    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def test_an_array_of_objects_is_no_packed_audio(tmp_path, prepared):
    shutil.copytree(prepared, tmp_path / "data")
    array = next((tmp_path / "data/packed/16000x1").glob("train-*.npy"))
    frames = len(np.load(array))
    np.save(array, np.array([MakesFolder(tmp_path / "made")] * frames, object), allow_pickle=True)
    with pytest.raises(UserError, match=array.name):
        open_split(tmp_path / "data", "train", 16000, 1).waveform(0)
    assert not (tmp_path / "made").exists()


def test_a_pickle_is_no_model(tmp_path, model):
    shutil.copytree(model, tmp_path / "model")
    torch.save({"decoder.first.weight": MakesFolder(tmp_path / "made")}, tmp_path / "model/model.safetensors")
    with pytest.raises(UserError, match=str(tmp_path / "model")):
        load_codec(tmp_path / "model")
    assert not (tmp_path / "made").exists()


def test_a_recipe_makes_no_objects(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"train: !!python/object/apply:os.mkdir ['{tmp_path / 'made'}']\n")
    with pytest.raises(UserError, match=r"recipe\.yaml"):
        read_recipe(str(recipe))
    assert not (tmp_path / "made").exists()
