"""The example of the tutorial, from a mixed folder to files at a searched operating point, as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.cli import main
from data_prep.synthetic_sounds import synthesise_noise, synthesise_strings
from data_prep.synthetic_voices import synthesise_voice
from tests.test_readme import ROOT, blocks, commands

RATE = 16000
EXAMPLE = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8").partition("\n## 6.")[2]
QUICK_STEPS = ["--train.steps=4", "--train.validate_every=2", "--train.validation_clips=4", "--data.batch_size=2"]
SMALL = [f"--codec.{part}.{size}" for part in ("encoder", "decoder") for size in ("width=16", "depth=1")]
QUICKER = {
    ("prepare",): ["-j", "1"],
    ("train", "mine.yaml"): [*SMALL, "--codec.quantizer.codebook_size=16", "--data.crop_s=0.24", *QUICK_STEPS],
    ("train", "speech_16k"): ["--data.crop_s=0.24", *QUICK_STEPS],
    ("evaluate",): ["-j", "1", "--clips", "3"],
}


def write_sounds(folder: Path, synthesise, speaker: int, count: int, suffix: str = ".wav") -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{speaker:02}-{number}{suffix}" for number in range(count)]
    for number, path in enumerate(paths):
        generators = np.random.default_rng(speaker), np.random.default_rng([speaker, number])
        sound = synthesise(*generators, 3.5, RATE)
        soundfile.write(path, 0.3 * sound / np.abs(sound).max(), RATE)
    return paths


def make_mixed_folder(folder: Path) -> None:
    """Make the folder that the tutorial draws, of a few minutes."""
    rows = ["filename,spk"]
    for speaker in range(10):
        paths = write_sounds(folder / "interviews", synthesise_voice, speaker, 3)
        rows += [f"{path.name},speaker {speaker}" for path in paths]
    (folder / "interviews/speakers.csv").write_text("\n".join(rows))
    for speaker in range(20, 34):
        write_sounds(folder / f"words/{speaker}", synthesise_voice, speaker, 1)
    for speaker, name in ((40, "bdl"), (41, "slt")):
        write_sounds(folder / "readings" / name, synthesise_voice, speaker, 20)
    write_sounds(folder / "tapes", synthesise_voice, 50, 2, ".flac")
    (folder / "tapes/broken.mp3").write_bytes(b"\xff\xfb\x90\x00" + bytes(100))
    write_sounds(folder / "music", synthesise_strings, 60, 3)
    write_sounds(folder / "other", synthesise_noise, 70, 3)


def test_the_example_leads_from_a_mixed_folder_to_files_at_an_operating_point(tmp_path, monkeypatch, capsys):
    make_mixed_folder(tmp_path / "mixed")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    recipe, plan = blocks("yaml", EXAMPLE)
    Path("use.yaml").write_text(plan)
    for words in commands(EXAMPLE):
        quicker = [more for typed, more in QUICKER.items() if tuple(words[: len(typed)]) == typed]
        expanded = [str(Path(word).expanduser()) if word.startswith("~") else word for word in words]
        with pytest.raises(SystemExit) as ended:
            main([*expanded, *(quicker[0] if quicker else [])])
        assert ended.value.code == 0, (words, capsys.readouterr().err)
        if words[0] == "recipes":
            Path("mine.yaml").write_text(recipe)
    assert re.search(r"broken\.mp3,", Path("data/mixed/manifest.csv").read_text())
    assert all(Path(page).is_file() for page in ("runs/mine/health.html", "runs.html", "slt.html", "use/front.html"))
    coded = sorted(path.stem for path in Path("wav").rglob("*.wav"))
    assert coded == sorted(path.stem for path in Path("mixed/interviews").glob("*.wav"))
