"""Batches on a Ray cluster of two nodes, of which processes, a node and the driver are killed."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster

from codec.batch.decode import decode_batch
from codec.batch.encode import encode_batch
from codec.batch.finished_units import TABLE
from codec.batch.jobs import BatchOptions
from codec.batch.report import BatchReport
from codec.batch.tokenize import encode_tokens
from codec.coding.options import CodingOptions, DecodingOptions
from codec.dataset.ledger import read_ledger
from codec.dataset.packed import packed_folder
from codec.distributed.cluster import Resources
from codec.distributed.ray_cluster import LOCAL, RayCluster
from codec.errors import UserError
from codec.pretrained.checkpoint import load_codec
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.registry import ModelFinder
from codec.runtime.file_lock import LOCK_FILE
from codec.runtime.process_pool import PoolOptions, map_in_processes
from data_prep.options import PrepareOptions
from data_prep.prepare import prepare
from eval.evaluation.job import EvaluationOptions
from eval.evaluation.run import evaluate
from tests.helpers.coding import read_files, write_noise
from tests.helpers.kills import kill_a_holder, kill_a_writer, meanwhile, square, wait_for
from tests.helpers.packed_data import pack_tones, save_small_run

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes of one CPU each, to which this process is not connected."""
    made = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        made.add_node(**NODE)
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    """Ten files, two of them long enough to be caught while they are written, and one that is damaged."""
    folder = tmp_path_factory.mktemp("sounds")
    for number in range(9):
        write_noise(folder / f"{number % 2}/{'a' * number}b.wav", 60.0 if number in (2, 7) else 0.5 + 0.1 * number)
    (folder / "1/bad.wav").write_bytes(b"RIFF and no more")
    return folder


@pytest.fixture(scope="module")
def alone(sounds, model, tmp_path_factory) -> tuple[Path, BatchReport]:
    """The folder and the report of one process."""
    out = tmp_path_factory.mktemp("alone")
    return out, encode_batch([sounds], out, LoadedModel(load_codec(model)), CodingOptions(kbps=1))


def encode(sounds: Path, out: Path, model: Path, address: str) -> BatchReport:
    batch = BatchOptions(workers=RayCluster(address))
    return encode_batch([sounds], out, LoadedModel(load_codec(model)), CodingOptions(kbps=1), batch)


def outputs(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in read_files(folder).items() if name not in (TABLE, LOCK_FILE)}


def named(report: BatchReport) -> list[list[str]]:
    """The sources that were done, were up to date, and failed, with the reasons."""
    done, skipped = [str(one.source) for one in report.reports], [str(one.path) for one in report.skipped]
    return [done, skipped, [one.reason for one in report.failures]]


def test_a_node_that_starts_too_slowly_is_one_line(sounds, tmp_path, model, monkeypatch):
    def start(**_: object) -> None:
        raise Exception("The current node timed out during startup.\nMore.")  # as ray._private.node does after 30 s

    monkeypatch.setattr(ray, "init", start)
    with pytest.raises(UserError, match=r"--ray local: .*timed out during startup\.\)$"):
        encode(sounds, tmp_path, model, LOCAL)


def test_a_killed_process_and_a_killed_node_lose_nothing(tmp_path, cluster, sounds, model, alone):
    killed: list[int] = []
    node = next(node for node in cluster.list_all_nodes() if node is not cluster.head_node)

    def kill_node() -> bool:
        if len(list(tmp_path.rglob("*.nac"))) < 3:
            return False
        cluster.remove_node(node, allow_graceful=False)
        return True

    with meanwhile(lambda: kill_a_writer(tmp_path, killed), kill_node):
        report = encode(sounds, tmp_path, model, cluster.address)
    cluster.add_node(**NODE)
    folder, expected = alone
    assert killed and outputs(tmp_path) == outputs(folder)
    done, skipped, failed = named(report)
    assert sorted(done + skipped) == sorted(named(expected)[0]) and failed == named(expected)[2] != []


@pytest.mark.long
def test_a_restarted_driver_does_only_what_is_missing(tmp_path, cluster, sounds, model, alone):
    words = ["encode", sounds, "--out", tmp_path, "--model", model, "--kbps", 1, "--ray", cluster.address]
    with subprocess.Popen([sys.executable, "-m", "codec", *map(str, words)], stderr=subprocess.DEVNULL) as driver:
        wait_for(lambda: (tmp_path / TABLE).exists() and len(list(tmp_path.rglob("*.nac"))) >= 4, driver)
        driver.kill()
    for part in tmp_path.rglob(".*.part"):  # a later run removes them when they are older
        part.unlink()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nac")}
    report = encode(sounds, tmp_path, model, cluster.address)
    folder, expected = alone
    assert outputs(tmp_path) == outputs(folder)
    done, skipped, failed = named(report)
    assert sorted(done + skipped) == sorted(named(expected)[0]) and failed == named(expected)[2]
    assert len(skipped) >= len(before) >= 4 and all(path.stat().st_mtime_ns == time for path, time in before.items())

    rows = [json.loads(line) for line in (tmp_path / TABLE).read_text().splitlines()]
    assert [row["failed"][0]["source"] for row in rows if row["failed"]][-1] == str(sounds / "1/bad.wav")
    assert not any(row["outputs"] for row in rows if row["failed"])


@pytest.mark.long
def test_decoding_and_tokens_give_the_bytes_and_the_report_of_one_process(tmp_path, cluster, sounds, model, alone):
    coded, loaded = alone[0], LoadedModel(load_codec(model))
    ray.init(cluster.address, log_to_driver=False)  # as by a program that goes on using Ray
    batch = BatchOptions(workers=RayCluster(cluster.address), concurrent_files=2)
    here = decode_batch([coded], tmp_path / "0", ModelFinder([model]))
    there = decode_batch([coded], tmp_path / "1", ModelFinder([model]), DecodingOptions(), batch)
    assert outputs(tmp_path / "0") == outputs(tmp_path / "1") and named(here) == named(there) and here.reports

    killed: list[int] = []
    here = encode_tokens([sounds], tmp_path / "2", loaded, per_shard=3)
    with meanwhile(lambda: kill_a_holder(".tokens-*.members", tmp_path / "3", killed)):
        there = encode_tokens([sounds], tmp_path / "3", loaded, batch, per_shard=3)
    assert outputs(tmp_path / "2") == outputs(tmp_path / "3") and killed
    assert sorted(named(here)[0]) == sorted(named(there)[0] + named(there)[1]) and named(here)[2] == named(there)[2]
    again = encode_tokens([sounds], tmp_path / "3", loaded, batch, per_shard=3)
    assert not again.reports and len(again.skipped) == len(here.reports)
    assert ray.is_initialized()
    ray.shutdown()


def test_items_are_mapped_in_order_and_one_that_kills_its_process_is_given_up(cluster):
    there = RayCluster(cluster.address, Resources(workers=2))
    options = PoolOptions(there, max_chunk=8, advice="look at it")
    assert list(map_in_processes(square, range(300), options)) == [number * number for number in range(300)]
    with pytest.raises(ZeroDivisionError):
        list(map_in_processes(square, [1, 2, -2], options))
    with pytest.raises(UserError, match="look at it"):
        list(map_in_processes(square, [1, -1, 2], options))


@pytest.mark.long
def test_preparation_packs_the_arrays_of_this_machine(tmp_path, cluster, corpus, prepared):
    options = PrepareOptions(sample_rate=16000, workers=RayCluster(cluster.address))
    prepare([corpus], tmp_path, options)
    assert read_files(packed_folder(tmp_path, 16000, 1)) == read_files(packed_folder(prepared, 16000, 1))


@pytest.mark.long
def test_an_evaluation_is_one_line_in_the_ledger_and_has_the_scores_of_this_machine(tmp_path, cluster):
    save_small_run(tmp_path / "run", {"level_dbfs": [-40.0, 0.0]}, 0)
    for split in ("train", "val", "test"):
        pack_tones(tmp_path / "data", split, [("speech", f"{split}{number}", 1.0, -20.0) for number in range(2)])
    scores = []
    for name, workers in (("here", 1), ("there", RayCluster(cluster.address, Resources(workers=1)))):
        shutil.copytree(tmp_path / "data", tmp_path / name)
        options = EvaluationOptions(out=tmp_path / f"{name}-report", workers=workers)
        result = evaluate(tmp_path / "run", tmp_path / name, options)
        scores.append([(clip.clip_id, clip.bytes, clip.scores, clip.baseline) for clip in result.clips])
        (entry,) = read_ledger(tmp_path / name)
        assert entry.result
    assert scores[0] == scores[1] != []
