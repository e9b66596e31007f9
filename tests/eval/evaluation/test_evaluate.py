"""A small untrained model through the whole evaluation, on a data folder made by hand."""

import csv
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from codec.bitstream.reader import PacketReader
from codec.coding.file_info import file_info
from codec.coding.files import decode_file
from codec.dataset.clips import Clip
from codec.dataset.ledger import read_ledger
from codec.dataset.location import list_clips
from codec.errors import UserError
from codec.pretrained.checkpoint import load_codec, model_checksum, save_model
from codec.pretrained.loaded_model import LoadedModel
from eval.evaluation.clip_selection import TRANSCRIBED_CLIPS, choose_clips, choose_transcribed
from eval.evaluation.job import EvaluationOptions
from eval.evaluation.output_folder import WORK, check_replaceable
from eval.evaluation.run import evaluate
from eval.evaluation.scoring import ScoringJob, score_coded_clips
from eval.metrics.registry import metric
from eval.systems.baselines import ReferenceSystems
from eval.systems.bounds import WITHOUT_QUANTIZER
from eval.systems.libopus import libopus_version
from eval.systems.operating_point import OperatingPoint
from eval.systems.own import CodedClip, count_codes
from tests.helpers.packed_data import (
    RATE,
    MadeClip,
    float_waveform,
    pack_clips,
    pack_tones,
    save_small_run,
    seed_of,
    tones,
)
from tests.helpers.shard_servers import http_server
from tests.helpers.speech import SENTENCE, read_speaker


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """RUN and DATA: three clips in the target, one too quiet for it, one of another domain and short."""
    folder = tmp_path_factory.mktemp("evaluation")
    pack_tones(folder / "data", "train", [("speech", "t0", 4.0, -20.0), ("speech", "t1", 4.0, -20.0)])
    pack_tones(
        folder / "data", "test",
        [("speech", "a", 3.2, -20.0), ("speech", "b", 3.7, -20.0), ("speech", "a", 2.0, -20.0),
         ("speech", "c", 3.1, -50.0), ("strings", "d", 1.5, -20.0)],
    )  # fmt: skip
    target = {"domains": {"speech": 1.0}, "level_dbfs": [-40.0, 0.0]}
    save_small_run(folder / "run", target, info={"step": 7})
    rows = [(step, split, "mel", 5 - step / 100) for step in (0, 50, 100) for split in ("train_fixed", "val")]
    text = "".join(",".join(map(str, row)) + "\n" for row in rows)
    (folder / "run" / "metrics.csv").write_text("step,split,term,value\n" + text)
    heard = [*list_clips(folder / "data", "train", RATE, 1), *list_clips(folder / "data", "test", RATE, 1)[1:4]]
    (folder / "run" / "trained_clips.txt").write_text("".join(f"{clip.clip_id}\n" for clip in heard))
    return folder


@pytest.fixture(scope="module")
def result(folder):
    return evaluate(folder / "run", folder / "data", EvaluationOptions(workers=1))


def test_the_ledger_has_the_opening_and_its_result(folder, result):
    entry = read_ledger(folder / "data")[0]
    assert entry.purpose == "evaluation" and entry.run == str(folder / "run")
    assert entry.weights == [model_checksum(load_codec(folder / "run"))]
    assert entry.result is not None and entry.result["kbps"] == result.kbps
    assert entry.result["mel"] == result.main.metrics["mel"].mean
    assert result.opened_before == 0


def test_data_at_a_url_gives_the_same_scores_and_has_a_ledger_here(folder, result, tmp_path, monkeypatch):
    monkeypatch.setenv("LATHE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with http_server(folder / "data") as (url, requests):
        options = EvaluationOptions(out=tmp_path / "report", workers=1, max_clips=1)
        remote = evaluate(folder / "run", url, options)
    (clip,) = remote.clips
    local = next(one for one in result.clips if one.clip_id == clip.clip_id)
    assert (clip.bytes, clip.scores) == (local.bytes, local.scores)
    (entry,) = read_ledger(url)
    assert entry.result is not None and entry.key not in {one.key for one in read_ledger(folder / "data")}
    assert f"--data {url}" in remote.command and "train-00000.npy" not in requests


def test_data_of_other_tools_has_no_test_split(folder, tmp_path):
    (tmp_path / "data/test").mkdir(parents=True)
    (tmp_path / "data/train").mkdir()
    for split in ("train", "test"):
        (tmp_path / f"data/{split}/0.tar").touch()
    with pytest.raises(UserError, match="--split val"):
        evaluate(folder / "run", tmp_path / "data", EvaluationOptions(out=tmp_path / "report"))
    assert not list(tmp_path.rglob("ledger.jsonl"))


def test_test_clips_that_were_trained_on_are_counted(folder, result):
    assert result.trained_clips == 3
    assert json.loads((folder / "run/evaluation/results.json").read_text())["trained_clips"] == 3
    assert "3 of the 5 test clips were used in training" in result.text()


def test_bit_rate_is_that_of_the_files_and_of_codec_info(folder, result):
    files = sorted((folder / "run" / "evaluation" / "coded").glob("*.nac"))
    infos = [file_info(path) for path in files]
    assert len(files) == len(result.clips) == 5
    assert result.kbps == pytest.approx(sum(8 * path.stat().st_size for path in files) / 13.5 / 1000, rel=1e-12)
    seconds = sum(info["seconds"] for info in infos)
    assert result.kbps == pytest.approx(sum(info["kbps"] * info["seconds"] for info in infos) / seconds, rel=1e-12)
    for clip, info in zip(result.clips, infos):
        assert clip.bytes == info["bytes"] and clip.kbps == pytest.approx(info["kbps"], rel=1e-12)
    assert result.nominal_kbps < result.kbps  # headers and checksums
    payload = sum(info["payload_bytes"] for info in infos)
    packets = sum(info["packets"] for info in infos)
    assert 0 <= payload - 1000 / 8 * result.ideal_kbps * 13.5 <= 8 * packets
    assert f"{result.kbps:.2f} kbps in files; {result.nominal_kbps:.2f} nominal, {result.ideal_kbps:.2f} ideal" in (
        result.text()
    )


def test_the_coded_files_decode_to_what_was_scored(folder, result, tmp_path):
    codec = load_codec(folder / "run")
    path = sorted((folder / "run" / "evaluation" / "coded").glob("*.nac"))[1]
    decode_file(path, tmp_path / "decoded.wav", LoadedModel(codec))
    from codec.audio import read

    wave = float_waveform(tones(seed_of("test", 1), 3.7))
    again = metric("mel").score(wave, read(tmp_path / "decoded.wav").samples, RATE)
    assert again.value == pytest.approx(result.clips[1].scores["mel"].value, rel=1e-6)


def test_clips_in_and_out_of_distribution_have_rows_of_their_own(result):
    assert [clip.in_distribution for clip in result.clips] == [True, True, True, False, False]
    rows = {row.name: row for row in result.rows}
    assert list(rows) == ["in distribution", "out of distribution", "speech", "strings"]
    assert [rows[name].clips for name in rows] == [3, 2, 4, 1]
    inside = [clip.scores["mel"].value for clip in result.clips[:3]]
    assert rows["in distribution"].metrics["mel"].mean == pytest.approx(np.mean(inside))
    assert rows["in distribution"].groups == 2 and rows["strings"].metrics["mel"].low is None
    assert "pesq" not in rows["strings"].metrics and "pesq" not in rows["strings"].failed


def test_the_text_has_a_line_for_each_row(result):
    lines = result.text().splitlines()
    assert lines[0] == f"3 test clips in distribution, 2 groups, {result.rows[0].kbps:.2f} kbps measured"
    for row in result.rows[1:]:
        beginning = f"{row.name}: {row.clips} clips, {row.kbps:.2f} kbps, mel distance {row.metrics['mel'].mean:.2f}"
        assert any(line.startswith(beginning) for line in lines)


def test_few_groups_have_no_interval(result):
    def heading(row):
        return replace(result, rows=[row]).text().splitlines()[1]

    strings = next(row for row in result.rows if row.name == "strings")
    assert strings.groups == 1 and "no interval" in heading(strings) and result.main.groups == 2
    assert result.main.metrics["mel"].low is None and "no interval" in heading(result.main)
    assert "no interval" not in heading(replace(result.main, groups=3))


def test_a_clip_that_fails_a_metric_is_counted_with_its_reason(result):
    assert result.rows[0].undefined["pesq"] == {"too short (under 3 s)": 1} and not result.rows[0].failed
    assert result.clips[2].scores["pesq"].undefined and result.clips[2].scores["mel"].value > 0
    assert result.rows[0].metrics["pesq"].clips == 2


def test_baseline_and_other_codes_and_speed_are_there(result):
    assert 0 < result.main.baseline["mel"].mean and result.other_codes_mel.clips == 3
    assert result.encode_times_real_time > 0 and result.decode_times_real_time > 0 and result.memory_mb > 50
    assert len(result.usage) == 4 and all(0 < book.used <= 1 <= book.perplexity <= 1000 for book in result.usage)
    assert result.trained.steps == 7 and result.trained.groups == 2


def test_json_and_csv_hold_the_result(folder, result):
    out = folder / "run" / "evaluation"
    assert sorted(path.name for path in out.iterdir()) == [
        ".lock",
        "clips.csv",
        "coded",
        "differences.csv",
        "rates.csv",
        "report.html",
        "results.json",
        "results.md",
    ]
    written = json.loads((out / "results.json").read_text())
    assert written == json.loads(json.dumps(asdict(result), default=str))
    with (out / "clips.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert [float(row["mel"]) for row in table] == [clip.scores["mel"].value for clip in result.clips]
    assert table[2]["pesq"] == "" and "pesq: too short" in table[2]["failed"]


def test_again_with_fewer_codebooks_and_clips_counts_the_opening_before(folder, result, capsys):
    again = evaluate(
        folder / "run",
        folder / "data",
        EvaluationOptions(
            out=folder / "again",
            points=[OperatingPoint(codebooks=n, dtype=dtype) for dtype in ("float32", "bfloat16") for n in (2, 1)],
            references=ReferenceSystems(opus=[24.0]),
            max_clips=2,
            demonstration=True,
            workers=1,
        ),
    )
    said = capsys.readouterr().err
    phases = [
        "code: 2 codebooks",
        "code: 1 codebooks",
        "code: Opus 24 kbps",
        "bound: without quantizer",
        "score",
        "measuring",
        "computing",
        "writing",
    ]
    assert sorted(phases, key=said.index) == phases
    assert again.opened_before == 1 and read_ledger(folder / "data")[1].purpose == "demonstration"
    assert len(again.clips) == 2 and again.kbps < result.kbps
    assert len({clip.group for clip in again.clips}) == 2
    assert "--codebooks 2 1 --dtype bfloat16 --opus 24 --clips 2" in again.command
    one, *halves, opus = again.others
    assert [row.name for row in halves] == [f"run, bfloat16, {number} codebooks" for number in (2, 1)]
    for row, full in zip(halves, (again.main, one)):
        assert row.kbps == full.kbps
        assert 0 < abs(row.metrics["mel"].mean - full.metrics["mel"].mean) < 0.02 * full.metrics["mel"].mean
    assert (one.name, opus.name) == ("1 codebooks", "Opus 24") and one.clips == opus.clips == again.main.clips
    assert one.kbps < again.kbps < opus.kbps and opus.metrics["mel"].mean < one.metrics["mel"].mean
    assert one.metrics.keys() == opus.metrics.keys() == again.main.metrics.keys()
    check_bounds(again, load_codec(folder / "run"))
    assert not result.bounds  # of a single operating point
    page = (folder / "again/report.html").read_text()
    assert "Opus 24" in page and "Opus 24" in again.text() and "Opus" not in result.report.read_text()


def check_bounds(again, codec):
    """They are in every table and have no bit rate, and nothing is compared with them. The skip paths of this model are
    random, so that there is no KLT.
    """
    places = [next(i for i in range(5) if clip.clip_id == f"test{i}") for clip in again.clips]
    waves = [float_waveform(tones(seed_of("test", i), clip.seconds)) for i, clip in zip(places, again.clips)]
    for bound, row in zip([WITHOUT_QUANTIZER], again.bounds, strict=True):
        values = [metric("mel").score(wave, bound.decode(codec, wave), RATE).value for wave in waves]
        assert row.kbps is None and row.metrics["mel"].mean == pytest.approx(np.mean(values), rel=1e-3)
    names = {row.name for row in again.bounds}
    assert names == {point.system for point in again.rates if point.kbps is None}
    assert not names & {entry.system for entry in again.differences} and not names & {row.name for row in again.others}
    out = again.report.parent
    for name in ("results.md", "rates.csv", "clips.csv"):
        assert all(row in (out / name).read_text() for row in names), name
    assert all(row in again.text() and f"<td>{row}</td>" in again.report.read_text() for row in names)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"run": "nowhere"}, "no such model"),
        ({"data": "nowhere"}, "no such data folder"),
        ({"points": [OperatingPoint(codebooks=5)]}, "1 to 4 codebooks"),
        ({"points": [OperatingPoint(), OperatingPoint(codebooks=0)]}, "1 or more"),
        ({"points": [OperatingPoint(kbps=-1.0)]}, "above 0 kbps"),
        ({"references": ReferenceSystems(opus=(-3.0,))}, "above 0 kbps"),
        ({"max_clips": 0}, "at least 1 clip"),
        ({"out": "data/packed/16000x1/test.csv"}, "cannot write"),
        ({"out": "theirs"}, "not from an evaluation"),
        ({"max_clips": 2}, r"holds the results of `codec evaluate \S*run --data \S*data`; .*--out, or --force"),
        ({"out": "damaged"}, "holds the results of another command"),
    ],
)
def test_wrong_options_are_refused_before_the_test_split_is_opened(folder, result, change, words):
    (folder / "theirs" / "coded").mkdir(parents=True, exist_ok=True)
    (folder / "damaged").mkdir(exist_ok=True)
    (folder / "damaged" / "results.json").write_text("{")
    before = (folder / "data" / "ledger.jsonl").read_text()
    paths = {key: folder / value for key, value in change.items() if isinstance(value, str)}
    numbers = {key: value for key, value in change.items() if not isinstance(value, str)}
    with pytest.raises(UserError, match=words) as caught:
        where = {"run": folder / "run", "data": folder / "data", **paths}
        options = EvaluationOptions(out=where.pop("out", None), workers=1, **numbers)
        evaluate(where["run"], where["data"], options)
    assert "\n" not in str(caught.value)
    assert (folder / "data" / "ledger.jsonl").read_text() == before
    assert not list(folder.rglob(WORK))


def test_a_command_may_replace_its_own_results_and_with_force_those_of_another(folder, result):
    out = result.report.parent
    check_replaceable(out, result.command, force=False)
    check_replaceable(out, result.command + " --open-test-again", force=False)
    check_replaceable(out, "codec evaluate another", force=True)
    (folder / "theirs" / "coded").mkdir(parents=True, exist_ok=True)
    with pytest.raises(UserError, match="not from an evaluation"):
        check_replaceable(folder / "theirs", result.command, force=True)


def test_a_run_without_recipe_and_data_at_another_rate(folder, tmp_path):
    model = load_codec(folder / "run")
    save_model(tmp_path / "run" / "model", model, {})
    with pytest.raises(UserError, match=r"no recipe\.yaml"):
        evaluate(tmp_path / "run", folder / "data")
    (tmp_path / "run" / "recipe.yaml").write_text("data:\n  channels: 2\n")
    with pytest.raises(UserError, match="16000x1, not 16000x2"):
        evaluate(tmp_path / "run", folder / "data")


def clip(number: int, group: str) -> Clip:
    return Clip(f"id{number}", Path("x"), "speech", group, 1.0, -20.0, 8000.0, -70.0, RATE)


def test_chosen_clips_are_spread_over_the_groups_and_always_the_same():
    clips = [clip(i, f"g{i // 10}") for i in range(40)]
    chosen = choose_clips(clips, 6)
    counts = sorted(sum(i // 10 == group for i in chosen) for group in range(4))
    assert counts == [1, 1, 2, 2] and chosen == choose_clips(clips, 6) == sorted(set(chosen))
    assert choose_clips(clips, None) == choose_clips(clips, 99) == list(range(40))
    assert set(chosen) <= set(choose_clips(clips, 12))


def test_at_most_ten_clips_of_a_group_are_transcribed_and_a_limit_keeps_them_among_these():
    def spoken(number: int, **changes: object) -> Clip:
        return replace(clip(number, f"g{number % 3}"), **{"text": "some words", **changes})

    without = [{"text": ""}, {"text": "…"}, {"domain": "music"}, {"seconds": 30.5}]
    clips = [*(spoken(i) for i in range(60)), *(spoken(60 + i, **change) for i, change in enumerate(without))]
    chosen = choose_transcribed(clips, range(len(clips)), RATE)
    assert chosen == sorted(set(chosen)) and max(chosen) < 60
    assert [sum(i % 3 == group for i in chosen) for group in range(3)] == [TRANSCRIBED_CLIPS] * 3
    assert set(choose_transcribed(clips, choose_clips(clips[:60], 12), RATE)) == set(choose_clips(clips[:60], 12))
    assert set(choose_clips(clips[:60], 12)) < set(chosen)
    assert choose_transcribed(clips, range(len(clips)), 8000) == []


@pytest.mark.long
@pytest.mark.skipif(metric("wer").absent, reason="needs the extra speech-metrics")
def test_words_are_recognised_in_decoded_and_original_audio_of_clips_with_a_text(folder, tmp_path):
    made = [
        MadeClip("speech", name, np.rint(32767 * read_speaker(name)[0]).astype(np.int16), text=text)
        for name, text in (("bdl", SENTENCE), ("slt", "Good evening to the two men"), ("slt", ""))
    ]
    made[2] = replace(made[2], samples=made[2].samples[: 2 * RATE])
    pack_clips(tmp_path / "data", "test", made)
    references = ReferenceSystems(opus=[24.0])
    options = EvaluationOptions(points=[OperatingPoint(codebooks=4)], references=references, workers=1)
    save_small_run(tmp_path / "run", {}, info={"trained_on": {"clips": 1, "groups": 1, "seconds": 1.0, "domains": {}}})
    found = evaluate(tmp_path / "run", tmp_path / "data", options)
    opus, original = found.others
    assert (original.name, original.note, list(original.metrics)) == ("Original", "not coded", ["wer"])
    assert original.metrics["wer"].clips == opus.metrics["wer"].clips == found.main.metrics["wer"].clips == 2
    assert found.clips[0].scores["wer"].weight == 11 and found.clips[1].scores["wer"].weight == 6
    assert "wer" not in found.clips[2].scores
    (point,) = [entry for entry in found.rates if entry.system == "Original" and entry.domain == "all"]
    assert point.kbps is None and point.mean == original.metrics["wer"].mean
    own = found.main.metrics["wer"].mean
    assert own > point.mean
    (pair,) = [entry for entry in found.differences if entry.metric == "wer" and entry.domain == "all"]
    assert pair.system == "Opus" and pair.mean == pytest.approx(own - opus.metrics["wer"].mean)
    tested = [entry for entry in found.differences if entry.domain == "all" and entry.p is not None]
    assert {entry.comparisons for entry in tested} == {len(tested)}
    with (tmp_path / "run/evaluation/clips.csv").open(newline="") as file:
        first, second, third = [row["wer"] for row in csv.DictReader(file) if row["system"] == "Original"]
    assert (first, third) == ("0.0", "") and point.mean == pytest.approx(6 * float(second) / 17)
    text = (tmp_path / "run/evaluation/results.md").read_text()
    assert "Original" in text and "on 2 of 3 clips" in text and "on 2 of 3 clips" in found.text()
    assert "without ML enhancement" in opus.note and libopus_version() in text


def test_usage_counts_the_codes_in_the_files(folder, result):
    codec = load_codec(folder / "run")
    path = sorted((folder / "run" / "evaluation" / "coded").glob("*.nac"))[0]
    with PacketReader(path) as reader:
        codes = np.concatenate(list(reader.codes(LoadedModel(codec).coder)), axis=2)[0]
    counts = count_codes([path], codec)
    assert counts.counts.tolist() == [np.bincount(row, minlength=1000).tolist() for row in codes]
    for found, row in zip(counts.usage(), codes):
        share = np.unique(row, return_counts=True)[1] / row.size
        assert found.used == len(share) / 1000
        assert found.perplexity == pytest.approx(np.prod(share**-share))


def test_several_processes_give_the_scores_of_one(tmp_path):
    from codec.audio import write

    jobs = []
    for seed in (1, 2):
        wave = float_waveform(tones(seed, 1.0))
        write(tmp_path / f"a{seed}.wav", wave, RATE)
        write(tmp_path / f"b{seed}.wav", wave * np.float32(0.9), RATE)
        original, decoded = tmp_path / f"a{seed}.wav", tmp_path / f"b{seed}.wav"
        jobs.append(ScoringJob(CodedClip(clip(seed, "g"), original, original, decoded, 1.0, 1, 0.0, 0.0), seed))
    assert score_coded_clips(jobs, workers=2) == score_coded_clips(jobs, workers=1)
