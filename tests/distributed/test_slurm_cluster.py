"""Batches in job arrays, which submitit's local executor runs as processes of this machine."""

import os
from pathlib import Path

import pytest

from codec.batch.encode import encode_batch
from codec.batch.finished_units import TABLE
from codec.batch.jobs import BatchOptions
from codec.distributed.cluster import Resources
from codec.distributed.slurm_cluster import SlurmCluster, queued_tasks
from codec.errors import UserError
from codec.pretrained.loaded_model import LoadedModel
from codec.runtime.file_lock import exclusive
from codec.runtime.process_pool import PoolOptions, map_in_processes
from tests.helpers.coding import read_files, write_noise
from tests.helpers.kills import kill_a_writer, meanwhile, square


def local(folder: Path, tasks: int = 2) -> SlurmCluster:
    return SlurmCluster(folder, local=True, resources=Resources(workers=tasks))


def test_an_array_gives_the_files_of_one_process_although_a_task_is_killed(tmp_path, codec):
    for number in range(4):
        write_noise(tmp_path / f"in/{'a' * number}b.wav", 30.0 if number % 2 else 0.5)
    (tmp_path / "in/bad.wav").write_bytes(b"RIFF and no more")
    alone = encode_batch([tmp_path / "in"], tmp_path / "1", LoadedModel(codec))
    killed: list[int] = []
    (tmp_path / "2").mkdir()
    with meanwhile(lambda: kill_a_writer(tmp_path / "2", killed)):
        batch = BatchOptions(workers=local(tmp_path / "2"))
        report = encode_batch([tmp_path / "in"], tmp_path / "2", LoadedModel(codec), batch=batch)
    assert killed and report.failures == alone.failures
    assert sorted(one.source for one in report.reports) == sorted(one.source for one in alone.reports)
    made = read_files(tmp_path / "2")
    assert made.pop(TABLE) and made == read_files(tmp_path / "1")


def test_errors_of_tasks_are_raised_here(tmp_path):
    options = PoolOptions(local(tmp_path, 1), advice="look at it")
    with pytest.raises(ZeroDivisionError):
        list(map_in_processes(square, [1, -2], options))
    assert not (tmp_path / ".slurm").exists() or list((tmp_path / ".slurm").iterdir())
    with pytest.raises(UserError, match="minutes"):
        list(map_in_processes(square, [1], PoolOptions(SlurmCluster(tmp_path, {"time": "1-00:00"}))))


@pytest.mark.parametrize(
    ("answer", "queued"),
    [
        ("echo 7_1; echo 7_2", {"7_1", "7_2"}),
        ("echo slurm_load_jobs error: Invalid job id specified >&2; exit 1", set()),
        ("echo slurm_load_jobs error: Unable to contact slurm controller >&2; exit 1", None),
    ],
)
def test_a_task_has_ended_when_the_queue_does_not_list_it(tmp_path, monkeypatch, answer, queued):
    program = tmp_path / "squeue"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert queued_tasks(["7_0", "7_1", "7_2"]) == queued


def test_job_folders_of_other_commands_stay_while_they_run(tmp_path):
    running, killed = tmp_path / ".slurm/running", tmp_path / ".slurm/killed"
    killed.mkdir(parents=True)
    with exclusive(running):
        assert list(map_in_processes(square, [3], PoolOptions(local(tmp_path, 1)))) == [9]
        assert list((tmp_path / ".slurm").iterdir()) == [running]
    assert list(map_in_processes(square, [3], PoolOptions(local(tmp_path, 1)))) == [9]
    assert not (tmp_path / ".slurm").exists()
