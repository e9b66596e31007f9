"""Evaluation with other systems: one opening of the test split, curves, differences, the halves of validation."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from codec.audio import write
from codec.dataset.ledger import SealedError, count_candidates, read_ledger
from codec.errors import UserError
from codec.pretrained.checkpoint import load_codec, model_checksum
from eval.evaluation.clip_selection import selects
from eval.evaluation.job import EvaluationOptions
from eval.evaluation.run import evaluate
from eval.metrics.registry import metric
from eval.systems.baselines import ReferenceSystems
from eval.systems.conventional import OPUS, round_trip
from eval.systems.operating_point import OperatingPoint
from tests.helpers.packed_data import RATE, float_waveform, pack_tones, save_small_run, seed_of, tones

TEST = [
    ("speech", "a", 1.2, -20.0),
    ("speech", "b", 1.0, -20.0),
    ("music", "d", 0.9, -20.0),
    ("music", "c", 1.1, -50.0),
]
SECONDS = [seconds for _, _, seconds, _ in TEST]


def waves() -> list[np.ndarray]:
    return [float_waveform(tones(seed_of("test", i), seconds)) for i, seconds in enumerate(SECONDS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """RUN, another run, and DATA: of the test clips the last is too quiet for the target."""
    folder = tmp_path_factory.mktemp("beside")
    pack_tones(folder / "data", "train", [("speech", "t", 1.0, -20.0)])
    pack_tones(folder / "data", "test", TEST)
    pack_tones(folder / "data", "val", [("speech", f"v{i}", 0.8, -20.0) for i in range(5)])
    for name, seed in (("run", 0), ("finalist", 1), ("late", 2)):
        save_small_run(folder / name, {"level_dbfs": [-40.0, 0.0]}, seed)
    opus = folder / "theirs"
    (opus / "somewhere").mkdir(parents=True)
    for i, wave in enumerate(waves()):
        found = round_trip(OPUS, wave, RATE, 24.0, speech=TEST[i][0] == "speech")
        write(opus / "somewhere" / f"test{i}.wav", found.waveform, RATE)
        (opus / "somewhere" / f"test{i}.packets").write_bytes(bytes(found.bits // 8))
    return folder


@pytest.fixture(scope="module")
def result(folder):
    return evaluate(
        folder / "run",
        folder / "data",
        EvaluationOptions(
            points=[OperatingPoint(codebooks=4), OperatingPoint(codebooks=1)],
            references=ReferenceSystems(
                models=[folder / "finalist"],
                opus=[24.0],
                mp3=[6.0, 16.0],
                aac=[16.0],
                decoded={"Theirs": folder / "theirs"},
            ),
            workers=1,
        ),
    )


def table(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "run" / "evaluation" / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_all_systems_are_evaluated_on_the_same_clips_in_one_opening(folder, result):
    assert [row.name for row in result.others] == [
        "1 codebooks", "finalist, 4 codebooks", "finalist, 1 codebooks", "Opus 24", "MP3 16", "AAC 16", "Theirs"
    ]  # fmt: skip
    assert {row.clips for row in result.others} == {result.main.clips} == {3}
    (entry,) = read_ledger(folder / "data")
    assert entry.weights == [model_checksum(load_codec(folder / name)) for name in ("run", "finalist")]
    assert entry.result is not None and list(entry.result["beside"]) == [row.name for row in result.others]


def test_an_unavailable_codec_is_listed_with_the_reason(folder, result):
    assert result.absent_systems["MP3 6"] == "MP3 has bit rates of 8 to 160 kbps at 16 kHz"
    line = "MP3 6: absent: MP3 has bit rates of 8 to 160 kbps at 16 kHz"
    assert line in result.text() and line in (folder / "run/evaluation/results.md").read_text()


def test_containers_are_stated_apart_from_payloads(result):
    rows = {row.name: row for row in result.others}
    assert result.main.container_kbps is None and rows["1 codebooks"].container_kbps is None
    assert all(rows[name].container_kbps > 0 for name in ("Opus 24", "MP3 16", "AAC 16"))


def test_external_decodes_have_the_scores_of_the_codec_that_made_them(result):
    here, there = (next(row for row in result.others if row.name == name) for name in ("Opus 24", "Theirs"))
    assert there.kbps == here.kbps
    for name, found in here.metrics.items():
        assert there.metrics[name].mean == pytest.approx(found.mean, rel=1e-3), name


def test_curves_have_every_point_by_domain_in_and_out_of_distribution(folder, result):
    rows = table(folder, "rates.csv")
    assert [{key: row[key] or None for key in row} for row in rows] == [
        {key: None if value is None else str(value) for key, value in row.items()}
        for row in json.loads((folder / "run/evaluation/results.json").read_text())["rates"]
    ]
    cells = {(row["domain"], row["distribution"]): row["clips"] for row in rows if row["metric"] == "mel"}
    inside = {("all", "in"): "3", ("speech", "in"): "2", ("music", "in"): "1"}
    assert cells == {**inside, ("all", "out"): "1", ("music", "out"): "1"}
    points = {(row["system"], row["point"]) for row in rows}
    assert {point for system, point in points if system == result.system == "run"} == {"4 codebooks", "1 codebooks"}
    assert ("Opus", "24 kbps") in points and ("Theirs", "as supplied") in points
    own = [row for row in rows if row["metric"] == "mel" and (row["system"], row["domain"]) == ("run", "speech")]
    clips = [row for row in table(folder, "clips.csv") if (row["system"], row["domain"]) == ("run", "speech")]
    for row in own:
        its = [clip for clip in clips if clip["point"] == row["point"]]
        assert float(row["mean"]) == pytest.approx(np.mean([float(clip["mel"]) for clip in its]))
        bits, seconds = (sum(float(clip[key]) for clip in its) for key in ("bytes", "seconds"))
        assert float(row["kbps"]) == pytest.approx(8 * bits / seconds / 1000)


def test_differences_are_paired_at_the_nearest_bit_rate(folder, result):
    inside = [row for row in table(folder, "differences.csv") if row["distribution"] == "in"]
    rows = {(row["system"], row["point"], row["domain"], row["metric"]): row for row in inside}
    clips = table(folder, "clips.csv")
    own = {
        point: sum(float(clip["bytes"]) for clip in clips if (clip["system"], clip["point"]) == ("run", point))
        for point in ("4 codebooks", "1 codebooks")
    }
    for system, point in (("Opus", "24 kbps"), ("AAC", "16 kbps"), ("finalist", "1 codebooks")):
        theirs = [clip for clip in clips if (clip["system"], clip["point"]) == (system, point)]
        needed = sum(float(clip["bytes"]) for clip in theirs)
        nearest = min(own, key=lambda name: abs(np.log(own[name] / needed)))
        ours = [clip for clip in clips if (clip["system"], clip["point"]) == ("run", nearest)]
        row = rows[system, point, "all", "mel"]
        assert row["ours"] == nearest
        pairs = [float(a["mel"]) - float(b["mel"]) for a, b in zip(ours, theirs) if a["in_distribution"] == "True"]
        assert float(row["mean"]) == pytest.approx(np.mean(pairs))
        assert float(row["low"]) < float(row["mean"]) < float(row["high"])
        assert 0 <= float(row["p"]) <= float(row["p_holm"]) <= 1 and int(row["comparisons"]) > 10
    # untrained, ours is far from what Opus does
    for row in inside:
        sure = row["p_holm"] != "" and float(row["p_holm"]) <= 0.05
        lower = metric(row["metric"]).better == "lower"
        assert row["better"] == (("ours" if (float(row["mean"]) < 0) == lower else "theirs") if sure else "")
    own_rows = [row for (system, *_), row in rows.items() if system == "run"]
    assert {(row["ours"], row["point"]) for row in own_rows} == {("4 codebooks", "1 codebooks")}
    less = next(row for row in result.others if row.name == "1 codebooks").metrics["mel"].mean
    own_mel = rows["run", "1 codebooks", "all", "mel"]
    assert float(own_mel["mean"]) == pytest.approx(result.main.metrics["mel"].mean - less)


def test_another_model_is_refused_unless_the_split_may_be_opened_again(folder, result):
    before = (folder / "data/ledger.jsonl").read_text()
    with pytest.raises(
        SealedError, match=rf"{model_checksum(load_codec(folder / 'run'))}.* of run.*--open-test-again"
    ) as found:
        evaluate(folder / "late", folder / "data", EvaluationOptions(workers=1))
    assert "\n" not in str(found.value) and (folder / "data/ledger.jsonl").read_text() == before
    again = evaluate(folder / "late", folder / "data", EvaluationOptions(again=True, max_clips=2, workers=1))
    assert [entry.run for entry in again.openings] == [str(folder / "run")] and "--open-test-again" in again.command
    assert again.opened_before == 1 and again.openings[0].weights[0] in again.text()
    once_more = evaluate(folder / "finalist", folder / "data", EvaluationOptions(max_clips=2, workers=1))
    assert once_more.opened_before == 2


def test_validation_reports_on_one_half_and_leaves_the_test_split_closed(folder, result):
    opened = (folder / "data/ledger.jsonl").read_text()
    found = evaluate(
        folder / "run",
        folder / "data",
        EvaluationOptions(split="val", references=ReferenceSystems(opus=[12.0]), workers=1),
    )
    assert (folder / "data/ledger.jsonl").read_text() == opened
    assert (folder / "run/validation/report.html").is_file() and "--split val" in found.command
    groups = [f"v{i}" for i in range(5)]
    assert [clip.group for clip in found.clips] == [group for group in groups if not selects(group)]
    assert found.halves is not None and found.others[0].clips == found.main.clips == len(found.clips)
    assert found.halves.selecting.clips == sum(map(selects, groups))
    gap = found.halves.gap["mel"]
    assert gap.mean == pytest.approx(found.main.metrics["mel"].mean - found.halves.selecting.metrics["mel"].mean)
    assert gap.low <= gap.mean <= gap.high
    assert found.candidates == count_candidates(folder / "data") == 1
    assert "1 run has been compared" in found.text() and "gap" in found.text()
    late = ReferenceSystems(models=[folder / "late"])
    with pytest.raises(UserError, match="--opus 12`"):
        evaluate(folder / "run", folder / "data", EvaluationOptions(split="val", references=late, workers=1))
    assert count_candidates(folder / "data") == 1
    evaluate(folder / "run", folder / "data", EvaluationOptions(split="val", references=late, workers=1, force=True))
    assert count_candidates(folder / "data") == 2
    with pytest.raises(UserError, match="stays closed"):
        evaluate(folder / "run", folder / "data", EvaluationOptions(split="val", again=True))


def test_two_systems_of_one_name_are_refused(folder):
    with pytest.raises(UserError, match="called Opus"):
        evaluate(
            folder / "run",
            folder / "data",
            EvaluationOptions(references=ReferenceSystems(opus=[12.0], decoded={"Opus": folder / "theirs"})),
        )


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.unlink(), "no decoded file for 1 of 4"),
        (lambda path: path.write_text("no sound"), "test2"),
        (lambda path: write(path, waves()[2][:, :8000], RATE), "lasts 0.50 s, its recording 0.90"),
        (lambda path: path.with_suffix(".packets").unlink(), "test2"),
    ],
)
def test_decodes_that_do_not_fit_are_refused_before_the_test_split_is_opened(folder, tmp_path, spoil, words):
    shutil.copytree(folder / "theirs", tmp_path / "theirs")
    spoil(tmp_path / "theirs" / "somewhere" / "test2.wav")
    before = read_ledger(folder / "data")
    with pytest.raises(UserError, match=words):
        evaluate(
            folder / "run",
            folder / "data",
            EvaluationOptions(references=ReferenceSystems(decoded={"Theirs": tmp_path / "theirs"}), workers=1),
        )
    assert read_ledger(folder / "data") == before


def test_decodes_of_no_validation_clip_count_no_candidate(folder):
    before = count_candidates(folder / "data")
    with pytest.raises(UserError, match="no decoded file for"):
        evaluate(
            folder / "finalist",
            folder / "data",
            EvaluationOptions(split="val", references=ReferenceSystems(decoded={"T": folder / "theirs"})),
        )
    assert count_candidates(folder / "data") == before
