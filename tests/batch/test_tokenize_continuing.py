"""Shards of tokens of a command that was killed, could not write or runs beside another, and of sources that change."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.batch.jobs import BatchOptions
from codec.batch.tokenize import encode_tokens
from codec.cli import BAD_INPUT, FAILED, main
from codec.coding import shard_writer, shards
from codec.pretrained.loaded_model import LoadedModel
from codec.runtime.file_lock import LOCK_FILE, exclusive
from tests.helpers.token_shards import contents, figures, make_sound, read_shards


def command(*words: object) -> subprocess.Popen:
    line = [sys.executable, "-m", "codec", *map(str, words)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_two_commands_do_not_write_to_one_folder(sounds, model):
    with exclusive(Path("tok")):
        second = command("tokens", "in", "--out", "tok", "--model", model)
        complaints = second.communicate()[1]
    assert second.returncode == BAD_INPUT and complaints.count("\n") == 1 and f"process {os.getpid()}" in complaints
    assert not contents(Path("tok"))
    both = [command("tokens", "in", "--out", "tok", "--model", model) for _ in range(2)]
    complaints = [one.communicate()[1] for one in both]
    assert sorted(one.returncode for one in both) in ([0, 0], [0, BAD_INPUT]) and "Traceback" not in "".join(complaints)
    assert len(contents(Path("tok"))) == 5


def test_a_killed_command_is_continued(sounds, codec, model):
    make_sound(Path("in/0.wav"), 1000)
    soundfile.write("in/b.wav", np.zeros(3600 * 16000, np.int16), 16000)
    words = ["tokens", "in", "--out", "tok", "--model", model, "--per-shard", 9]
    first = command(*words)
    waiting = Path("tok/.tokens-000000.tar.members")
    started = time.monotonic()
    while not (waiting.exists() and len(shards.read_shard(waiting).samples) > 1):
        assert first.poll() is None and time.monotonic() - started < 600
        time.sleep(0.01)
    first.kill()
    first.communicate()
    assert waiting.exists() and not Path("tok/tokens-000000.tar").exists()
    waiting.write_bytes(waiting.read_bytes()[:-512])  # in the middle of a write: the last array is lost
    make_sound(Path("in/b.wav"), 5000)
    there = len(shards.read_shard(waiting).samples) - 1
    done, kept, failed = figures(encode_tokens([Path("in")], Path("tok"), LoadedModel(codec), per_shard=9))
    assert (done + kept, failed) == (7, 0) and kept >= there >= 1
    encode_tokens([Path("in")], Path("afresh"), LoadedModel(codec), per_shard=9)
    assert contents(Path("tok")) == contents(Path("afresh"))
    (Path("tok") / waiting.name).write_bytes(b"of an earlier call")
    assert figures(encode_tokens([Path("in")], Path("tok"), LoadedModel(codec), per_shard=9)) == (0, 7, 0)
    assert contents(Path("tok")) == contents(Path("afresh"))


def test_arrays_of_a_shard_that_could_not_be_written_are_kept(sounds, codec):
    shard = Path("tok/tokens-000000.tar")
    shard.mkdir(parents=True)
    failed = encode_tokens([Path("in")], Path("tok"), LoadedModel(codec), BatchOptions(force=True), per_shard=9)
    assert [failure.path for failure in failed.failures] == [shard]
    shard.rmdir()
    assert figures(encode_tokens([Path("in")], Path("tok"), LoadedModel(codec), per_shard=9)) == (0, 5, 0)
    assert len(read_shards(shard)) == 5
    assert {path.name for path in Path("tok").iterdir()} == {LOCK_FILE, shard.name}


def test_a_changed_source_is_encoded_again(sounds, codec):
    """Even while the shard was not finished."""
    with shard_writer.Members(Path("x.members")) as members:
        members.append("a", shard_writer.ArrayParts([np.zeros((2, 3), np.int32)]), {})
    begun = Path("x.members").stat().st_mtime_ns
    with shard_writer.Members(Path("x.members")) as members:
        size = members.append(
            "b", shard_writer.ArrayParts([np.ones((2, 1), np.int32), np.zeros((2, 0), np.int32)]), {"x": 1}
        )
        assert list(members.samples) == ["a", "b"] and size == 2048
        np.testing.assert_array_equal(shards.read_array(members.samples["b"]), np.ones((2, 1)))
    assert Path("x.members").stat().st_mtime_ns == begun
    shard_writer.write_shard(Path("x.tar"), [members.samples["b"], members.samples["a"]], begun)
    assert list(read_shards(Path("x.tar"))) == ["b", "a"] and Path("x.tar").stat().st_mtime_ns == begun


def test_bad_files_are_reported_and_tried_again(sounds, codec, model, capsys):
    Path("in/bad.wav").write_text("no sound")
    words = ["tokens", "in", "--out", "tok", "--model", str(model), "--per-shard", "9"]
    for done, kept in ((5, 0), (0, 5)):
        with pytest.raises(SystemExit) as ended:
            main(words)
        out, complaints = capsys.readouterr()
        assert ended.value.code == FAILED and f"{done} done, {kept} were up to date, 1 failed" in out
        assert complaints.count("codec: error: in/bad.wav: ") == 1
        if done:
            before = contents(Path("tok"))
            assert re.search(r"tokens of 6/6 files, .* 100%", complaints)
    assert contents(Path("tok")) == before and "bad" not in read_shards(Path("tok/tokens-000000.tar"))
    make_sound(Path("in/bad.wav"))
    with pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    summary = json.loads(capsys.readouterr().out)["summary"]
    assert ended.value.code == 0 and (summary["done"], summary["skipped"]) == (1, 5)
    encode_tokens([Path("in")], Path("afresh"), LoadedModel(codec), per_shard=9)
    assert contents(Path("tok")) == contents(Path("afresh"))
    Path("in/bad.wav").unlink()
    encode_tokens([Path("in")], Path("tok"), LoadedModel(codec), per_shard=9)
    assert contents(Path("tok")) == before


def test_an_empty_shard_is_removed_and_made_again(tmp_path, codec):
    source, out = make_sound(tmp_path / "a.wav"), tmp_path / "tok"
    encode_tokens([source], out, LoadedModel(codec))
    before = contents(out)
    source.write_text("no sound")
    os.utime(source, (2e9, 2e9))
    assert figures(encode_tokens([source], out, LoadedModel(codec))) == (0, 0, 1) and contents(out) == {}
    make_sound(source)
    assert figures(encode_tokens([source], out, LoadedModel(codec))) == (1, 0, 0) and contents(out) == before
