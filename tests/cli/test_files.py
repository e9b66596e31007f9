"""Commands on many files: bad ones among good ones, damage, streams and names."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.cli import BAD_INPUT, FAILED, INTERRUPTED, main
from codec.cli.common import describe_losses
from codec.pretrained import DEFAULT_MODEL
from codec.runtime import signals
from tests.helpers.command_line import broken, sound
from tests.helpers.disk import contents


def test_prepare_leaves_out_bad_files_and_reports_them(codec, tmp_path):
    for number in range(6):
        sound(tmp_path / f"audio/{number}/a.wav", seed=number)
    bad = broken(tmp_path / "audio/0")
    ran = codec("prepare", tmp_path / "audio", "--out", tmp_path / "data", "-j", 1)
    assert ran.status == 0 and not ran.complaints
    for counted in ("1 cut off or damaged", "1 NaN or infinity", "2 unreadable", "1 empty"):
        assert counted in ran.out
    with (tmp_path / "data/manifest.csv").open(newline="") as file:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(file) if row["status"] == "excluded"}
    assert sorted(rows) == bad and all(row["reason"] for row in rows.values())
    assert not list(tmp_path.rglob("*.part"))

    shutil.rmtree(tmp_path / "audio")
    broken(sound(tmp_path / "audio/x.wav").parent)
    (tmp_path / "audio/x.wav").unlink()
    nothing_left = codec("prepare", tmp_path / "audio", "--out", tmp_path / "other", "-j", 1)
    assert "none of the 5 files can be used" in nothing_left.complaint and "manifest.csv" in nothing_left.complaint


def test_encode_and_decode_process_good_files_and_list_bad_ones(codec, place, tmp_path):
    good = [sound(tmp_path / f"audio/good{number}.wav", seed=number) for number in range(2)]
    bad = broken(tmp_path / "audio")
    there_and_back = "--model", place / "model"
    ran = codec("encode", tmp_path / "audio", "--out", tmp_path / "nac", *there_and_back)
    assert ran.status == FAILED and ran.out.startswith("files   2 done, 0 were up to date, 5 failed")
    assert [Path(line.partition(": ")[0]).name for line in ran.complaints] == bad
    assert sorted(contents(tmp_path / "nac")) == ["good0.nac", "good1.nac"]
    for path in good:
        path.unlink()

    (tmp_path / "nac/bad.nac").write_bytes((tmp_path / "nac/good0.nac").read_bytes()[:40])
    ran = codec("decode", tmp_path / "nac", "--out", tmp_path / "wav", "--json", *there_and_back)
    told = json.loads(ran.out)
    assert ran.status == FAILED and "bad.nac" in ran.complaint
    assert [Path(one["target"]).name for one in told["done"]] == ["good0.wav", "good1.wav"]
    assert [Path(one["source"]).name for one in told["failed"]] == ["bad.nac"]
    assert sorted(contents(tmp_path / "wav")) == ["good0.wav", "good1.wav"]
    again = codec("decode", tmp_path / "nac/good0.nac", "--out", tmp_path / "wav", *there_and_back)
    assert again.status == 0 and again.out.startswith("files   0 done, 1 were up to date")


def test_info_describes_good_files_and_reports_damaged_ones(codec, place, tmp_path):
    damaged = bytearray((place / "good.nac").read_bytes())
    damaged[-12] ^= 1
    (tmp_path / "damaged.nac").write_bytes(damaged)
    ran = codec("info", place / "good.nac", place / "cut.nac", tmp_path / "damaged.nac", "--json")
    assert ran.status == FAILED and [info["checksums_ok"] for info in json.loads(ran.out)] == [True, False]
    assert "cut.nac" in ran.complaints[0] and "damaged.nac: one byte" in ran.complaints[1]


def test_info_takes_folders_patterns_and_names_built_in_models(codec, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sound(tmp_path / "in/a.wav")
    for name, model in (("built", DEFAULT_MODEL), ("own", place / "model")):
        assert codec("encode", "in", "--out", f"out/{name}", "--model", model).status == 0
    assert codec("tokens", "in", "--out", "out", "--model", place / "model").status == 0
    for given in (["out"], ["out/**"], ["out/*/*.nac"], ["out/built", "out/own/a.nac"]):
        ran = codec("info", *given, "--json")
        told = {info["path"]: info["model"] for info in json.loads(ran.out)}
        assert ran.status == 0 and told == {"out/built/a.nac": DEFAULT_MODEL, "out/own/a.nac": None}
    assert "codec decode takes it" in codec("info", "out/tokens-000000.tar").complaint
    assert "no .nac files in this folder" in codec("info", "in").complaint


def test_several_files_are_a_line_each_and_a_total(codec, place, tmp_path):
    shutil.copy(place / "good.nac", tmp_path / "again.nac")
    ran = codec("info", place / "good.nac", tmp_path / "again.nac")
    lines, described = ran.out.splitlines(), json.loads(codec("info", place / "good.nac", "--json").out)[0]
    assert len(lines) == 3 and "again.nac" in lines[1] and "2 files" in lines[2]
    worse = codec("info", place / "good.nac", tmp_path / "again.nac", place / "cut.nac", tmp_path / "absent.nac")
    last = worse.out.splitlines()[-1]
    assert "error" not in lines[2] and "  4 files, " in last and last.endswith(", 2 with errors")
    twice = codec("info", place / "good.nac", place / "good.nac", "--json")
    assert len(json.loads(twice.out)) == 1
    assert f"{described['kbps']:.2f}" in lines[2] and f"{2 * described['seconds']:.2f}" in lines[2]
    assert codec("info", place / "good.nac", tmp_path / "again.nac", "--details").out.count("fingerprint:") == 2


def test_details_have_no_values_of_python(codec, place):
    shown = dict(line.split(": ", 1) for line in codec("info", place / "good.nac").out.splitlines())
    assert shown["checksums_ok"] == "yes" and shown["live"] == "no" and shown["fault"] == shown["model"] == "–"
    assert not {"True", "False", "None", "[]", "{}"} & set(shown.values())


def test_verification_decodes_each_file(codec, place, tmp_path, monkeypatch):
    without = codec("info", place / "good.nac", "--verify")  # no model of this installation
    assert without.status == FAILED and "good.nac" in without.complaint
    monkeypatch.setenv("LATHE_MODEL", str(place / "model"))
    assert codec("info", place / "good.nac", "--verify").status == 0
    damaged = bytearray((place / "good.nac").read_bytes())
    damaged[-12] ^= 1
    damaged[-13] ^= 1
    (tmp_path / "damaged.nac").write_bytes(damaged)
    assert codec("info", tmp_path / "damaged.nac", "--verify").status == FAILED


@pytest.mark.parametrize("time", ["-1", "1:99", "1:2:3:4", "1h", "", "nan", "1e400"])
def test_a_time_is_seconds_or_has_colons(codec, place, tmp_path, time):
    ran = codec("decode", place / "good.nac", "--out", tmp_path, f"--from={time}")
    assert ran.status == BAD_INPUT and "H:MM:SS" in ran.complaint


def test_a_quiet_command_prints_one_line(codec, place, tmp_path):
    ran = codec("encode", place / "books", "--out", tmp_path, "--model", place / "model", "--quiet")
    assert ran.err == "" and ran.out.startswith("3 done, ") and ran.out.count("\n") == 1


def test_warnings_about_groups_are_seen_under_quiet(codec, tmp_path):
    rows = [f"{n}.wav,{'' if n == 3 else f'speaker {n}'}\n" for n in range(6)]
    for number in range(6):
        sound(tmp_path / f"talks/{number}.wav", seed=number)
    (tmp_path / "talks/list.csv").write_text("path,speaker\n" + "".join(rows))
    words = ["prepare", tmp_path / "talks", "--out", tmp_path / "out", "--ratios", "1:1:1", "-j", "1"]
    for options in ([], ["--quiet"]):
        ran = codec(*words, *options)
        warned = [line for line in ran.err.splitlines() if line.startswith("codec: warning: ")]
        assert ran.status == 0 and len(warned) == 1 and "1 of 6 files" in warned[0] and "3.wav" in warned[0]
        assert options == [] or ran.err.splitlines() == warned


def test_version_is_that_of_the_distribution(codec):
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    (stated,) = re.findall(r'^version = "(.*)"$', project, re.MULTILINE)
    ran = codec("--version")
    assert (ran.status, ran.out) == (0, f"codec {stated}\n")


def test_damage_is_concealed_and_reported(codec, place, tmp_path):
    there_and_back = "--model", place / "model"
    sound(tmp_path / "a.wav", seconds=5)
    assert codec("encode", tmp_path / "a.wav", "--out", tmp_path, "--tag", "title=Song", *there_and_back).status == 0
    ran = codec("decode", tmp_path / "a.nac", "--out", tmp_path / "wav", *there_and_back)
    assert ran.status == 0 and not ran.complaints
    whole = soundfile.read(tmp_path / "wav/a.wav")[0]
    assert codec("decode", tmp_path / "a.nac", "--out", tmp_path, "--suffix", "FLAC", *there_and_back).status == 0
    assert soundfile.info(tmp_path / "a.flac").frames == 5 * 16000
    part = codec(
        "decode", tmp_path / "a.nac", "--out", tmp_path / "wav", "--from", "0:01.5", "--to", "0:00:02", *there_and_back
    )
    assert part.status == 0 and len(whole) == 5 * 16000
    np.testing.assert_array_equal(soundfile.read(tmp_path / "wav/a.wav")[0], whole[24000:32000])
    beyond = codec("decode", tmp_path / "a.nac", "--out", tmp_path / "wav", "--from", 7, *there_and_back)
    assert beyond.status == FAILED and "5 s" in beyond.complaint
    assert "tags: title=Song\n" in codec("info", tmp_path / "a.nac").out

    intact = (tmp_path / "a.nac").read_bytes()
    data = bytearray(intact)
    data[len(data) // 2] ^= 1
    (tmp_path / "a.nac").write_bytes(data)
    ran = codec("decode", tmp_path / "a.nac", "--out", tmp_path / "wav", "--json", *there_and_back)
    assert ran.status == FAILED and "1.98 to 4.00 s" in ran.complaint
    assert json.loads(ran.out)["done"][0]["lost_s"] == [[1.98, 4.0]]
    written = (tmp_path / "wav/a.wav").stat().st_mtime_ns
    again = codec("decode", tmp_path / "a.nac", "--out", tmp_path / "wav", "--json", *there_and_back)
    told = json.loads(again.out)
    assert (again.status, again.complaints) == (FAILED, ran.complaints) and (
        tmp_path / "wav/a.wav"
    ).stat().st_mtime_ns == written
    assert told["skipped"] == [{"source": str(tmp_path / "a.nac"), "lost_s": [[1.98, 4.0]], "tags_damaged": False}]
    assert (told["summary"]["skipped"], told["summary"]["damaged"]) == (1, 1)
    cut = tmp_path / "cut.nac"
    cut.write_bytes(data[: len(data) * 3 // 4])
    ran = codec("decode", cut, "--out", tmp_path / "wav", "--json", *there_and_back)
    ends = soundfile.info(tmp_path / "wav/cut.wav").duration
    assert ran.complaint.startswith(f"{cut}: ") and re.findall(r"[\d.]+ s", ran.complaint) == [
        f"{ends:.2f} s",
        "5.00 s",
    ]
    described = describe_losses([(0.5, 1.0), (2.0, 5.0)], ends)
    assert re.findall(r"[\d.]+ s", described) == ["1.00 s", f"{ends:.2f} s", "5.00 s"]
    assert json.loads(ran.out)["done"][0]["cut_off_s"] == ends
    ran = codec("decode", tmp_path / "a.nac", "--out", tmp_path / "strict", "--strict", *there_and_back)
    assert ran.status == FAILED and "is damaged" in ran.complaint and not contents(tmp_path / "strict")

    data = bytearray(intact)
    data[data.index(b"Song")] ^= 1
    (tmp_path / "tags.nac").write_bytes(data)
    for outcome in ("done", "skipped"):
        ran = codec("decode", tmp_path / "tags.nac", "--out", tmp_path / "wav", "--json", *there_and_back)
        told = json.loads(ran.out)
        assert ran.status == FAILED and ran.complaint.startswith(f"{tmp_path / 'tags.nac'}: ")
        assert (told[outcome][0]["lost_s"], told[outcome][0]["tags_damaged"]) == ([], True)
        assert told["summary"]["damaged"] == 1
    np.testing.assert_array_equal(soundfile.read(tmp_path / "wav/tags.wav")[0], whole)


@pytest.fixture
def piped(place, monkeypatch, capsysbinary) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """A command in this process, whose standard input is a pipe; a process of its own takes seconds to start."""

    def run(*words: str, given: bytes) -> subprocess.CompletedProcess[bytes]:
        capsysbinary.readouterr()
        read_end, write_end = os.pipe()
        os.write(write_end, given)
        os.close(write_end)
        line = [*words, "--model", str(place / "model")]
        with open(read_end) as stdin, pytest.raises(SystemExit) as ended:
            monkeypatch.setattr(sys, "stdin", stdin)
            main(line)
        assert isinstance(ended.value.code, int)
        return subprocess.CompletedProcess(line, ended.value.code, *capsysbinary.readouterr())

    return run


def test_standard_input_becomes_standard_output(piped, tmp_path):
    run, wav = piped, sound(tmp_path / "a.wav", seconds=1).read_bytes()
    coded = run("encode", "-", "--kbps", "3", "--tag", "title=x", given=wav)
    assert coded.returncode == 0 and coded.stdout[:4] == b"\x89NAC" and not coded.stderr
    raw = run("encode", "-", "--kbps", "3", "--tag", "title=x", "--raw", "16000:1", given=wav[44:])
    assert raw.stdout == coded.stdout
    decoded = run("decode", "-", "--bits", "32f", given=coded.stdout)
    assert decoded.returncode == 0 and not decoded.stderr
    assert soundfile.read(io.BytesIO(decoded.stdout))[0].shape == (16000,)
    assert len(run("decode", "-", "--raw", given=coded.stdout).stdout) == 2 * 16000
    flac = io.BytesIO()
    soundfile.write(flac, *soundfile.read(io.BytesIO(wav), dtype="int16"), format="FLAC")
    assert run("encode", "-", "--kbps", "3", "--tag", "title=x", given=flac.getvalue()).stdout == coded.stdout
    cut = run("encode", "-", given=wav[:10044])
    assert cut.returncode == FAILED and cut.stdout and cut.stderr.count(b"\n") == 1
    assert b"10000" in cut.stderr and b"32000 bytes" in cut.stderr
    cut = run("decode", "-", given=coded.stdout[:-100])
    assert cut.returncode == FAILED and b"0.76 s" in cut.stderr and cut.stderr.count(b"\n") == 1
    for words in (["encode", "-"], ["decode", "-"]):
        wrong = run(*words, given=b"no sound")
        assert wrong.returncode == BAD_INPUT and not wrong.stdout and wrong.stderr.count(b"\n") == 1


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", signals.SIGNALS)
def test_an_interrupt_ends_a_stream_as_its_source_would(place, piped, number):
    given, pipe = np.random.default_rng(0).bytes(2 * 16000), subprocess.PIPE
    line = [sys.executable, "-m", "codec", "encode", "-", "--raw", "16000:1", "--model", place / "model"]
    encoding = subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=pipe)
    encoding.stdin.write(given)
    encoding.stdin.flush()
    coded = encoding.stdout.read(200)  # the header and frames: it is at work
    encoding.send_signal(number)
    coded += encoding.stdout.read()  # while its input is open still
    (complaint,) = encoding.stderr.read().splitlines()  # a line, no trace
    assert complaint.startswith(b"codec: error: ")
    assert encoding.wait() == INTERRUPTED
    decoded = piped("decode", "-", "--raw", given=coded)
    assert decoded.returncode == 0 and not decoded.stderr and len(decoded.stdout) == len(given)


def test_names_that_are_not_utf8_pass(codec, place, tmp_path):
    name = os.fsdecode(b"caf\xe9")
    (tmp_path / name).mkdir()
    try:
        sound(tmp_path / "a.wav").rename(tmp_path / name / f"{name}.wav")
    except OSError:
        pytest.skip("this file system has no such names")
    coding = "--model", place / "model"
    assert codec("prepare", tmp_path / name, "--out", tmp_path / "data", "--ratios", "1:0:0", "-j", 1).status == 0
    assert codec("encode", tmp_path / name, "--out", tmp_path / "nac", *coding).status == 0
    assert codec("decode", tmp_path / "nac", "--out", tmp_path / "wav", *coding).status == 0
    shown = codec("info", tmp_path / f"nac/{name}.nac")
    assert shown.status == 0 and r"caf\udce9.nac" in shown.out
    assert (tmp_path / f"wav/{name}.wav").is_file()
