"""The benchmark of start-up and of many short files: what it counts, and a run of it."""

import pytest

from codec.runtime import own_packages
from eval.benchmarks.startup import NOW, ManyFiles, many_table, measure_many, measure_startup
from tests.helpers.audio import write_noise


def test_files_per_second_do_not_count_the_start():
    before = ManyFiles("encode", "before", 11, [2.0, 3.0], [4.0, 4.0], 11)
    after = ManyFiles("encode", NOW, 11, [1.0, 1.0], [2.0, 1.5], 0)
    assert before.files_per_s == [5, 10] and after.files_per_s == [10, 20]
    assert many_table([before, after]).rows[1][3:] == ["15 (10–20)", "2.00 (2.00–2.00)", "0"]


@pytest.mark.long
def test_commands_are_measured(tmp_path):
    source = write_noise(tmp_path / "a.wav", 2.0)
    versions = {NOW: own_packages.FOLDER}
    taken = {one.command: one.cpu_s[0] for one in measure_startup(source, versions, None, 1)}
    assert taken["import torch"] < taken["codec encode"] and taken["codec info"] < taken["codec decode"]
    encode, decode, integers = measure_many(source, versions, 4, 1)
    assert (encode.same, decode.same, integers.same) == (4, 4, 0)
    assert min(*encode.cpu_s, *decode.cpu_s, *integers.cpu_s) > 0
