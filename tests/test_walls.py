"""Which package may import which: the walls between the rooms of the repository."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from codec import audio

ROOT = Path(__file__).resolve().parents[1]
HEAVY_LIBRARIES = ("torch", "scipy", "librosa", "lightning", "jsonargparse", "matplotlib")
AUDIO_LIBRARIES = {"av", "soundfile", "soxr", "tinytag"}
MAY_TOUCH_AUDIO_FILES = {
    "eval/benchmarks/format_table.py",  # decodes by programs that share no code with codec.audio
    "eval/benchmarks/gpu_bundle.py",  # writes Ogg Opus at a bit rate of its choice
    "eval/systems/conventional.py",  # Opus, MP3 and AAC are encoded by PyAV
}


def imports(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules(folder: str) -> list[str]:
    """Return the dotted names of all modules in a folder of the repository."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    return [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in paths]


def loaded_by(statement: str, *libraries: str) -> set[str]:
    """Return which libraries a fresh interpreter has loaded after a statement."""
    script = f"{statement}\nimport sys; print(*(set({libraries!r}) & set(sys.modules)))"
    return set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )


@pytest.mark.parametrize(
    "folder",
    [f"codec/{room}" for room in "audio batch bitstream coding config dataset distributed runtime".split()],
)
def test_no_module_of_the_room_imports_torch(folder: str) -> None:
    assert loaded_by(f"import {', '.join(modules(folder))}", *HEAVY_LIBRARIES) == set()


def test_the_registry_of_models_imports_no_torch() -> None:
    names = ("registry", "loaded_model", "model_folder", "onnx_backend")
    assert loaded_by(f"import {', '.join(f'codec.pretrained.{name}' for name in names)}", *HEAVY_LIBRARIES) == set()


def test_a_run_is_read_without_torch() -> None:
    names = ("fit_diagnosis", "metrics_log", "provenance", "run_folder", "status")
    assert loaded_by(f"import {', '.join(f'codec.training.{name}' for name in names)}", *HEAVY_LIBRARIES) == set()


def test_only_one_function_opens_the_sealed_test() -> None:
    sources = [path for folder in ("codec", "eval", "data_prep") for path in (ROOT / folder).rglob("*.py")]
    users = [str(path.relative_to(ROOT)) for path in sources if "_open_any_split" in path.read_text(encoding="utf-8")]
    assert sorted(users) == ["codec/dataset/location.py", "codec/dataset/packed.py", "codec/dataset/sealed_test.py"]


@pytest.mark.parametrize(
    "words",
    [["info", "tests/pins/speech_16k.nac"], ["models"], ["encode", "--help"], ["decode", "--help"], ["--help"]],
    ids=" ".join,
)
def test_commands_that_compute_nothing_import_no_torch(words: list[str]) -> None:
    script = f"""
import contextlib, io
from codec.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main({words!r})
"""
    assert loaded_by(script, *HEAVY_LIBRARIES) == set()


def test_info_scans_no_installed_packages_and_shows_no_progress() -> None:
    run = "from codec.cli import main\ntry: main(['info', 'tests/pins/speech_16k.nac'])\nexcept SystemExit: pass\n"
    silent = f"import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n exec({run!r})"
    unneeded = ("importlib.metadata", "tqdm", "tarfile", "multiprocessing", "constriction", "soxr", "codec.config")
    assert loaded_by(silent, *unneeded) == set()


def test_coding_a_file_loads_nothing_that_only_training_needs(tmp_path: Path) -> None:
    audio.write(tmp_path / "a.wav", np.zeros((1, 4000), np.float32), 16000)
    script = f"""
import contextlib, io, os, sys
from codec.cli import main
os.chdir({str(tmp_path)!r})
with contextlib.redirect_stdout(io.StringIO()):
    for words in (["encode", "a.wav", "--out", "a.nac"], ["decode", "a.nac", "--out", "b.wav"]):
        with contextlib.suppress(SystemExit):
            main(words)
assert os.path.exists("b.wav")
"""
    unneeded = (
        "torch._dynamo",
        "torch._inductor",
        "av",
        "torchaudio",
        "numba",
        "pandas",
    )
    assert loaded_by(script, *HEAVY_LIBRARIES, *unneeded) == {"torch"}


def test_training_loads_no_library_of_metrics_that_it_does_not_compute(tmp_path: Path) -> None:
    script = f"""
import contextlib, io
from codec.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(["train", "quickstart", "--data", {str(tmp_path / "none")!r}, "--run", {str(tmp_path / "run")!r}])
"""
    assert loaded_by(script, "lightning", "torchmetrics", "transformers", "matplotlib.pyplot", "onnxruntime") == {
        "lightning",
        "torchmetrics",
    }


def test_importing_codec_audio_and_reading_its_constants_loads_no_audio_library() -> None:
    statement = (
        "import codec.audio, codec.audio.reader; from codec.audio import AUDIO_SUFFIXES, FloatArray, info, blocks"
    )
    assert loaded_by(statement, *AUDIO_LIBRARIES) == set()


def test_only_codec_audio_imports_audio_libraries() -> None:
    outside = {
        str(path.relative_to(ROOT))
        for folder in ("codec", "data_prep", "eval", "recipes")
        for path in (ROOT / folder).rglob("*.py")
        if not path.is_relative_to(ROOT / "codec/audio")
        and AUDIO_LIBRARIES & {name.split(".")[0] for name in imports(path)}
    }
    assert outside == MAY_TOUCH_AUDIO_FILES


@pytest.mark.parametrize("path", sorted((ROOT / "codec/audio").glob("*.py")), ids=lambda path: path.stem)
def test_codec_audio_imports_no_other_room_than_runtime(path: Path) -> None:
    ours = {name for name in imports(path) if name.startswith(("codec", "eval", "data_prep"))}
    allowed = ("codec.audio", "codec.errors", "codec.runtime")
    assert [name for name in ours if not name.startswith(allowed)] == []


def test_the_library_imports_evaluation_and_data_preparation_only_when_a_command_runs() -> None:
    for path in (ROOT / "codec").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        at_once = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        nodes = at_once if path.is_relative_to(ROOT / "codec/cli") else ast.walk(tree)
        for node in nodes:
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not {name.split(".")[0] for name in names} & {"eval", "data_prep"}, path


@pytest.mark.parametrize("path", sorted((ROOT / "codec/model").rglob("*.py")), ids=lambda path: path.stem)
def test_the_model_knows_no_files_no_training_and_no_command_line(path: Path) -> None:
    ours = {name for name in imports(path) if name.startswith(("codec", "eval", "data_prep"))}
    allowed = ("codec.model", "codec.config", "codec.errors", "codec.bitstream.codes", "codec.bitstream.tables")
    assert [name for name in ours if not name.startswith((*allowed, "codec.audio.waveform"))] == []
