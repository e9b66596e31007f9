"""torchaudio is imported by one module, even if its native extension does not load."""

import subprocess
import sys
import textwrap

import torch


def run(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_mel_filters_and_data_sets_work() -> None:
    from eval.systems.torchaudio_compat import torchaudio

    filters = torchaudio.functional.melscale_fbanks(257, 0.0, 8000.0, 40, 16000)
    assert filters.shape == (257, 40) and torch.isfinite(filters).all()
    assert torchaudio.datasets.LIBRISPEECH and torchaudio.datasets.LIBRITTS


def test_an_extension_that_does_not_load_is_passed_by() -> None:
    """The first import fails as it does beside a torch of another build; what was half imported is gone."""
    out = run(
        """
        import torch, pathlib
        load = torch.ops.load_library
        def refuse(path):
            if "torchaudio" in str(path):
                raise OSError(f"Could not load this library: {path}")
            return load(path)
        torch.ops.load_library = refuse
        from eval.systems.torchaudio_compat import torchaudio
        wave = torchaudio.functional.resample(torch.ones(1, 1600), 16000, 8000)
        print(tuple(wave.shape))
        # The way Path.glob works is as before.
        print(list(pathlib.Path(torchaudio.__file__).parent.glob("__init__.py")) != [])
        """
    )
    assert out.split("\n")[:2] == ["(1, 800)", "True"]


def test_nothing_else_imports_torchaudio() -> None:
    from pathlib import Path

    root = Path(__file__).parents[3]
    files = [file for room in ("codec", "data_prep", "eval") for file in (root / room).rglob("*.py")]
    importing = [
        file.name
        for file in files
        if any(line.strip().startswith(("import torchaudio", "from torchaudio")) for line in file.open())
    ]
    assert importing == ["torchaudio_compat.py"]
