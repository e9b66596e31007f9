"""Run the command line in tests, on small files and tiny recipes."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from tests.helpers.tiny import WITHOUT_CONTEXTS

SHORT = [*WITHOUT_CONTEXTS, "--train.steps=4", "--train.validate_every=2"]
TRAIN = "train speech_16k --data data --run run"


LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")
"""The start of a line of progress, where standard error is no terminal."""


@dataclass(frozen=True)
class Ran:
    """The outcome of a command."""

    status: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """Return the errors on standard error, without progress bars and notes."""
        lines = [line for line in self.err.splitlines() if line.strip() and not LOG_LINE.match(line)]
        lines = [line for line in lines if not line.startswith("codec: note: ")]
        assert all(line.startswith("codec: error: ") for line in lines), self.err
        return [line.removeprefix("codec: error: ") for line in lines]

    @property
    def complaint(self) -> str:
        assert len(self.complaints) == 1 and self.status != 0, self
        return self.complaints[0]


def python(script: str, *words: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, *map(str, words)], text=True, capture_output=True, **options)


def sound(path: Path, seconds: float = 1.0, rate: int = 16000, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * rate)), rate)
    return path


def broken(folder: Path) -> list[str]:
    """Write one file of each kind of damage, and return their names."""
    whole = sound(folder / "whole.wav", 2.0, seed=99).read_bytes()
    (folder / "whole.wav").unlink()
    (folder / "cut.wav").write_bytes(whole[:20000])
    (folder / "noise.flac").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "nothing.wav").touch()
    soundfile.write(folder / "nan.wav", np.where(np.arange(9000) == 7000, np.nan, 0.1), 16000, subtype="FLOAT")
    (folder / "text.mp3").write_text("no sound")
    return ["cut.wav", "nan.wav", "noise.flac", "nothing.wav", "text.mp3"]
