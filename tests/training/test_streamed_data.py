"""Training from streamed shards: batches are pure functions of the step; damaged shards are skipped and counted."""

import shutil
from pathlib import Path

import pytest
import torch

from codec.dataset.location import open_split
from codec.dataset.packed import packed_folder
from codec.errors import UserError
from codec.training.batches import CountedBatch
from codec.training.data_module import CodecData
from codec.training.fit_frequency_tables import fit_tables
from codec.training.provenance import criterion
from codec.training.state import TrainingState
from tests.helpers.models import RVQ, make_codec
from tests.helpers.runs import tiny_recipe
from tests.helpers.shard_servers import http_server
from tests.helpers.shards import RATE, prepared_in_shards

OPTIONS = ("--data.open_shards=2", "--data.crop_s=0.2", "--train.steps=40", "--train.validate_every=40")


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_in_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATHE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LATHE_CACHE_GB", "0.0003")


def batches(url: str | Path, *options: str, start: int = 0) -> list[CountedBatch]:
    recipe = tiny_recipe(*OPTIONS, *options)
    state = TrainingState(step=start, validate_every=recipe.train.validate_every)
    return list(CodecData(url, recipe, state).train_dataloader())


def test_a_run_goes_on_from_its_step_with_any_number_of_processes(shards: Path) -> None:
    with http_server(shards) as (url, _):
        whole = batches(url)
        late = batches(url, "--data.workers=2", start=17)
    assert len(whole) == 40 and len(late) == 23
    for mine, theirs in zip(whole[17:], late):
        assert torch.equal(mine.waveform, theirs.waveform) and mine.frames == theirs.frames


def test_crops_come_from_few_shards_and_evaluation_reads_its_shards_once(shards: Path) -> None:
    recipe = tiny_recipe(*OPTIONS)
    with http_server(shards) as (url, requests):
        data = CodecData(url, recipe)
        opened = [
            {data.train_crops.split.shard_of(clip) for clip, _ in data.train_crops.draw(step)} for step in range(40)
        ]
        assert max(map(len, opened)) <= 3 and len(set().union(*opened)) == len(data.train_crops.split.shards)
        first = [[batch for batch in loader] for loader in data.val_dataloader()]
        before = len(requests)
        again = [[batch for batch in loader] for loader in data.val_dataloader()]
        assert len(requests) == before
    for mine, theirs in zip(first, again):
        assert all(torch.equal(a.waveform, b.waveform) for a, b in zip(mine, theirs, strict=True)) and mine


def test_validations_of_other_crops_are_not_compared(shards: Path) -> None:
    recipe, wider = tiny_recipe(*OPTIONS), tiny_recipe(*OPTIONS, "--data.open_shards=3")
    with http_server(shards) as (url, _):
        streamed, local = CodecData(url, recipe), CodecData(shards, recipe)
        assert streamed.fingerprints == local.fingerprints
        several, one = ([data.evaluation_crops[number] for data in (streamed, local)] for number in range(2))
        assert several[0].draw(0) != several[1].draw(0) and one[0].draw(0) == one[1].draw(0)
        criteria = {
            *(criterion(recipe, crops.split) for crops in several),
            criterion(wider, several[0].split),
        }
        assert len(criteria) == 3 and criterion(wider, several[1].split) in criteria
        assert len({criterion(recipe, crops.split) for crops in one}) == 1


def test_streamed_data_is_not_kept_on_the_device(shards: Path) -> None:
    with http_server(shards) as (url, _):
        with pytest.raises(UserError, match=r"data\.resident"):
            CodecData(url, tiny_recipe(*OPTIONS, "--data.resident=always")).make_resident(torch.device("cpu"))
        CodecData(url, tiny_recipe(*OPTIONS)).make_resident(torch.device("cpu"))


@pytest.mark.parametrize("workers", [0, 1])
def test_clips_of_damaged_shards_are_skipped_and_reported(shards: Path, tmp_path: Path, workers: int) -> None:
    copy = shutil.copytree(shards, tmp_path / "copy")
    (packed_folder(copy, RATE, 1) / "train-00001.npy").write_bytes(b"damaged")
    options = (f"--data.workers={workers}", "--data.open_shards=1")
    with http_server(copy) as (url, _):
        found = batches(url, "--data.max_damaged_share=0.5", *options)
        assert (
            set(found[-1].damaged) == {"train-00001.npy"} and "train-00001.npy" in found[-1].damaged["train-00001.npy"]
        )
        assert all(crop.abs().max() > 0.01 for batch in found for crop in batch.waveform)  # others in their place
        if not workers:
            with pytest.raises(UserError, match="max_damaged_share"):
                batches(url, "--data.max_damaged_share=0.01", *options)


def test_tables_are_fitted_to_what_is_not_damaged(shards: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(shards, tmp_path / "copy")
    (packed_folder(copy, RATE, 1) / "train-00001.npy").write_bytes(b"damaged")
    codec = make_codec(RVQ)
    with http_server(copy) as (url, _):
        split = open_split(url, "train", RATE, 1, max_damaged_share=0.5)
        intact = sum(clip.seconds for clip in split.clips) - sum(
            split.clips[i].seconds for i in split.shards["train-00001.npy"]
        )
        val = open_split(url, "val", RATE, 1)
        assert fit_tables(codec, split, val, quiet=True).seconds == pytest.approx(intact)
        assert set(split.damaged) == {"train-00001.npy"}
        with pytest.raises(UserError, match="max_damaged_share"):
            fit_tables(codec, open_split(url, "train", RATE, 1, max_damaged_share=0.01), val, quiet=True)


def test_a_damaged_local_shard_is_skipped_up_to_the_share(shards: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(shards, tmp_path / "copy")
    path = packed_folder(copy, RATE, 1) / "train-00001.npy"
    path.write_bytes(path.read_bytes()[:-1000])
    assert set(batches(copy, "--data.max_damaged_share=0.5")[-1].damaged) == {path.name}
    with pytest.raises(UserError, match=r"train-00001\.npy"):
        CodecData(copy, tiny_recipe())
    with pytest.raises(UserError, match=r"train-00001\.npy"):
        open_split(copy, "train", RATE, 1)
