"""A report of an evaluation with all that a page can show, made without coding anything."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from codec.audio import write
from codec.dataset.clips import Clip
from codec.training.fit_diagnosis import Diagnosis
from eval.evaluation.rate_distortion import SystemClips, differences, rate_points
from eval.evaluation.results import ClipResult, EvaluationResult, Halves, ModelSummary
from eval.evaluation.rows import build_rows
from eval.metrics.confidence import Estimate
from eval.metrics.registry import Score
from eval.pages.evaluation_page import write_report
from eval.systems.baselines import CodedSystem
from eval.systems.own import CodebookStatistics, CodedClip
from eval.systems.system import System
from tests.helpers.packed_data import RATE


def write_example_report(folder: Path) -> EvaluationResult:
    """Write ``folder/report.html``, with failures, an absent metric and a hostile name."""
    rng = np.random.default_rng(0)
    clips, coded = [], []
    for i in range(8):
        wave = (0.1 * rng.standard_normal((1, RATE))).astype(np.float32)
        paths = [folder / f"{kind}{i}.wav" for kind in ("original", "decoded")]
        write(paths[0], wave, RATE)
        write(paths[1], (0.8 * wave).astype(np.float32), RATE)
        group, domain = f"g{i // 2}", "music" if i == 7 else "speech"
        scores = {
            "mel": Score(0.81 + 0.1 * i),
            "estoi": Score(0.0, "silent decode") if i == 3 else Score(0.7 + i / 100),
            "stoi": Score(None, "silent reference") if i == 2 else Score(0.8),
        }
        name = "<b>bold & co" if i == 0 else f"clip {i}"
        clips.append(
            ClipResult(
                str(i), f"/x/{name}.wav", domain, group, i < 6, 1.0, 400, 3.2, 0.1, 0.1, scores,
                {"mel": Score(2.5 + i / 100)}, Score(3.0),
            )
        )  # fmt: skip
        clip = Clip(str(i), paths[0], domain, group, 1.0, -20.0, 8000.0, -70.0, RATE)
        coded.append(CodedClip(clip, paths[0], paths[0], paths[1], 1.0, 400, 0.1, 0.1))
    (folder / "metrics.csv").write_text(
        "step,split,term,value\n"
        + "".join(f"{s},{split},mel,{9 / (1 + s)}\n" for s in range(9) for split in ("train_fixed", "val"))
    )
    (folder / "recipe.yaml").write_text("losses: {mel: 1.0}  # <script>alert(1)</script>\n")
    result = EvaluationResult(
        run=str(folder), data="data", report=folder / "report.html",
        command="codec evaluate run --data 'my data'",
        made="2030-01-02T03:04:05+00:00", demonstration=True, opened_before=3, candidates=2, clips_in_split=9,
        operating_point="6 codebooks", kbps=3.21, nominal_kbps=3.0, ideal_kbps=2.72,
        encode_times_real_time=123.0, decode_times_real_time=98.0,
        other_codes_mel=None, absent={"pesq": "absent: pesq is not installed; pip install 'lathe-codec[eval]'"},
        trained=ModelSummary(
            RATE, 1, 1_234_567, 6, 1000, "0123456789abcdef", 30.0, 1500, 40, 11, 9900.0, {"speech": 9900.0}
        ),
        diagnosis=Diagnosis("overfitted", 5, "validation rose", "Train on audio from more groups.", "mel"),
        others=[],
        rows=build_rows(clips), usage=[CodebookStatistics(0.5, 321.0)] * 6, clips=clips,
    )  # fmt: skip
    systems = [SystemClips(System("ours", "6 codebooks"), clips)] + [
        SystemClips(
            System(name, point),
            [replace(clip, bytes=size, scores={"mel": Score(found + 0.098 * i)}) for i, clip in enumerate(clips)],
        )
        for name, point, size, found in (("ours", "3 codebooks", 250, 1.5), ("Opus", "8 kbps", 900, 0.37))
    ] + [SystemClips(System("Other", "as supplied"), [replace(clip, bytes=None) for clip in clips])]  # fmt: skip
    result = replace(
        result,
        system="ours",
        rates=rate_points(systems),
        differences=differences(systems[:2], systems[2:]),
        others=[
            replace(build_rows(entry.clips)[0], name=name)
            for entry, name in zip(systems[1:], ("3 codebooks", "Opus 8", "Other"))
        ],
        absent_systems={"AAC 16": "the encoder was refused"},
        halves=Halves(build_rows(clips)[0], {"mel": Estimate(0.25, 0.125, 0.375, 6, 3)}),
        memory_mb=234.0,
    )
    quieter = [replace(entry, decoded=entry.original) for entry in coded]
    beside = [
        CodedSystem(System("ours", "3 codebooks", "model"), coded),
        CodedSystem(System("Opus", "8 kbps", "conventional"), quieter),
        CodedSystem(System("Other", "as supplied", "external"), coded),
    ]
    write_report(result, coded, beside, folder / "report.html")
    return result
