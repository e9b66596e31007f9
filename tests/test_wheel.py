"""The wheel, built and installed elsewhere, does what the checkout does."""

import json
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
from codec.pretrained import DEFAULT_MODEL
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.model_packages import OLDER_DISTRIBUTION, OLDER_MODELS
from codec.recipe import recipe_names

ROOT = Path(__file__).parents[1]
PACKAGES = ("codec", "data_prep", "eval", "recipes")
MAX_MB = 40
"""Above this, an older model moves to ``older_models/``, as the README there says."""


def run(*words: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], text=True, capture_output=True, **options)


def elsewhere(installed: Path) -> dict[str, str]:
    """What is installed there comes before the checkout."""
    return {**os.environ, "PYTHONPATH": str(installed)}


def build(project: Path, packages: tuple[str, ...], source: Path) -> Path:
    """Build from a copy, so that nothing an earlier build left in the checkout gets into it."""
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(project / name, source)
    for name in packages:
        shutil.copytree(project / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", source / "dist", source)
    assert built.returncode == 0, built.stdout + built.stderr
    (wheel,) = (source / "dist").iterdir()
    return wheel


def install(wheel: Path, target: Path) -> Path:
    done = run(sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", target, wheel)
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    return build(ROOT, PACKAGES, tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    return install(wheel, tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="module")
def older_wheel(tmp_path_factory) -> Path:
    return build(ROOT / "older_models", ("lathe_codec_older_models",), tmp_path_factory.mktemp("older_source"))


def test_the_wheel_holds_the_default_model_and_stays_small(wheel):
    with zipfile.ZipFile(wheel) as file:
        assert f"codec/pretrained/{DEFAULT_MODEL}/model.safetensors" in file.namelist()
    assert wheel.stat().st_size <= MAX_MB * 1e6


def test_the_wheel_of_older_models_holds_them_as_they_are_and_claims_one_name(older_wheel):
    with zipfile.ZipFile(older_wheel) as file:
        names = {name for name in file.namelist() if ".dist-info/" not in name}
        assert {name.split("/")[0] for name in names} == {"lathe_codec_older_models"}
        for model in set(OLDER_MODELS.values()):
            for path in (ROOT / "older_models/lathe_codec_older_models" / model).iterdir():
                assert file.read(path.relative_to(ROOT / "older_models").as_posix()) == path.read_bytes()
        (licence,) = (name for name in file.namelist() if name.endswith("licenses/LICENSE"))
        assert file.read(licence) == (ROOT / "LICENSE").read_bytes()


@pytest.mark.long
def test_older_models_are_found_once_they_are_installed(installed, older_wheel, tmp_path):
    older = install(older_wheel, tmp_path / "older")
    for places, there in ([installed], False), ([installed, older], True):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))}
        listed = run(installed / "bin/codec", "models", "--json", cwd=tmp_path, env=environment)
        found = {model["name"] for model in json.loads(listed.stdout) if model["distribution"] == OLDER_DISTRIBUTION}
        assert found == (set(OLDER_MODELS.values()) if there else set())
        source = ROOT / "tests/pins/speech_16k.nac"
        done = run(installed / "bin/codec", "decode", source, "--out", "wav", cwd=tmp_path, env=environment)
        assert (done.returncode == 0) == (tmp_path / "wav/speech_16k.wav").is_file() == there, done.stderr
        assert there or f"pip install {OLDER_DISTRIBUTION}" in done.stderr


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


PREPARE = ["prepare", "not there", "--out", "out"]
TRAIN = ["train", "speech_16k", "--data", "not there", "--run", "run"]
EVALUATE = ["evaluate", "speech_16k_v2", "--data", "not there", "--out", "out"]


@pytest.mark.parametrize(
    ("users_folder", "command", "words"),
    [
        ("packages", "bin/codec", PREPARE),
        ("packages", "python -m codec", TRAIN),
        ("folders", "bin/codec", EVALUATE),
        ("folders", "python -m codec", PREPARE),
    ],
    indirect=["users_folder"],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_users_folders_do_not_hide_ours(installed, users_folder, command, words):
    """Each of the commands imports all that it runs with before it looks for what it was given.

    Each program is tried beside each kind of folder; to import what trains or evaluates takes seconds.
    """
    program = [installed / command] if command == "bin/codec" else [sys.executable, "-m", "codec"]
    done = run(*program, *words, cwd=users_folder, env=elsewhere(installed))
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
