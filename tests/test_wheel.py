"""The wheel, built and installed elsewhere, does what the checkout does."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.audio import info
from codec.coding.files import decode_file
from codec.pretrained.loaded_model import LoadedModel
from codec.recipe import recipe_names

ROOT = Path(__file__).parents[1]
PACKAGES = ("codec", "data_prep", "eval", "recipes")


def run(*words: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], text=True, capture_output=True, **options)


def elsewhere(installed: Path) -> dict[str, str]:
    """What is installed there comes before the checkout."""
    return {**os.environ, "PYTHONPATH": str(installed)}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy, so that nothing an earlier build left in the checkout gets into it."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", source / "dist", source)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = (source / "dist").iterdir()
    return wheel


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    done = run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", target, wheel)
    assert done.returncode == 0, done.stderr
    return target


def test_the_wheel_holds_every_file_of_the_packages_and_the_licence(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    files = {path.relative_to(ROOT).as_posix() for name in PACKAGES for path in (ROOT / name).rglob("*")}
    files = {name for name in files if (ROOT / name).is_file() and "__pycache__" not in name}
    assert {"recipes/speech_16k.yaml", "eval/pages/templates/report.html.j2", "codec/py.typed"} <= files
    assert {name if name.startswith("codec/") else f"codec/_packages/{name}" for name in files} <= names
    (licence,) = (name for name in names if name.endswith("licenses/LICENSE"))
    text = zipfile.ZipFile(wheel).read(licence).decode()
    assert text == (ROOT / "LICENSE").read_text() and "Apache License" in text


def test_the_wheel_claims_no_top_level_name_but_codec(wheel):
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {"codec"}


def test_the_installed_packages_are_found_and_their_recipes_by_name(installed, tmp_path):
    script = """
import sys, codec.recipe
from codec.runtime import own_packages
own_packages.put_first()
import data_prep.prepare, eval, recipes
for name in sys.argv[1:]:
    codec.recipe.read_recipe(name)
print(*(module.__file__ for module in (codec.recipe, data_prep.prepare, eval, recipes)), sep="\\n")
"""
    done = run(sys.executable, "-c", script, *recipe_names(), cwd=tmp_path, env=elsewhere(installed))
    assert done.returncode == 0, done.stderr
    assert all(Path(name).is_relative_to(installed) for name in done.stdout.split())


@pytest.fixture(params=["folders", "packages"])
def users_folder(request, tmp_path) -> Path:
    """A folder of a user who has an ``eval``, a ``data_prep`` and a ``recipes``: plain folders, or Python packages."""
    for name in ("data_prep", "eval", "recipes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "theirs.py").write_text("")
        if request.param == "packages":
            (tmp_path / name / "__init__.py").write_text("")
    return tmp_path


@pytest.mark.parametrize("command", [["bin/codec"], [sys.executable, "-m", "codec"]], ids=["codec", "python -m codec"])
@pytest.mark.parametrize(
    "words",
    [
        ["prepare", "not there", "--out", "out"],
        ["train", "speech_16k", "--data", "not there", "--run", "run"],
        ["evaluate", "speech_16k_v2", "--data", "not there", "--out", "out"],
    ],
    ids=lambda words: words[0],
)
def test_a_users_folders_do_not_hide_ours(installed, users_folder, command, words):
    """Each of the commands imports all that it runs with before it looks for what it was given."""
    command = [installed / word if word.startswith("bin/") else word for word in command]
    done = run(*command, *words, cwd=users_folder, env=elsewhere(installed))
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert "not there" in done.stderr


def test_a_users_folders_do_not_hide_ours_from_processes_that_are_started(installed, users_folder, model):
    script = """
import sys
from pathlib import Path
from codec.runtime import own_packages
own_packages.put_first()
from eval.benchmarks.memory import coding_peak_mb
print(coding_peak_mb(Path(sys.argv[1]), 1.0, 16000))
"""
    done = run(sys.executable, "-c", script, model, cwd=users_folder, env=elsewhere(installed))
    assert done.returncode == 0 and float(done.stdout) > 1, done.stderr


def test_a_program_that_imports_codec_keeps_its_own_packages(installed, users_folder):
    script = """
import codec
codec.load("speech_16k_v2")
import data_prep.theirs, eval.theirs, recipes.theirs
print(*(module.__file__ for module in (data_prep.theirs, eval.theirs, recipes.theirs)), sep="\\n")
"""
    # -S: an editable installation of this checkout puts its packages on the path, by a .pth file
    libraries = f"{installed}{os.pathsep}{sysconfig.get_path('purelib')}"
    done = run(sys.executable, "-S", "-c", script, cwd=users_folder, env={**os.environ, "PYTHONPATH": libraries})
    assert done.returncode == 0, done.stderr
    assert all(Path(name).is_relative_to(users_folder) for name in done.stdout.split())


def test_the_installed_command_codes_a_file(installed, tmp_path, model, codec):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal((30_000, 2)), 22050)
    command = [installed / "bin/codec", "encode", "a.wav", "--out", "nac", "--model", model]
    done = run(*command, cwd=tmp_path, env=elsewhere(installed))
    assert done.returncode == 0, done.stderr
    decode_file(tmp_path / "nac/a.nac", tmp_path / "b.wav", LoadedModel(codec))
    back = info(tmp_path / "b.wav")
    assert (back.frames, back.sample_rate, back.channels) == (30_000, 22050, 2)
