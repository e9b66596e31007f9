"""Help is quick and complete."""

import subprocess
import sys

import pytest

from codec.cli import BAD_INPUT, build_parser
from tests.helpers.command_line import Ran, python
from tests.helpers.disk import contents

COMMANDS = [*next(iter(build_parser()._subparsers._group_actions)).choices]  # type: ignore[union-attr, list-item]
HEAVY = "torch torchaudio lightning optuna matplotlib librosa scipy numpy soundfile soxr auraloss jinja2 tensorboard"


def test_help_and_the_package_itself_import_nothing_heavy():
    script = """
import sys, codec
from codec.cli import main
for command in ["", *sys.argv[2:]]:
    try:
        main([*command.split(), "--help"])
    except SystemExit as ended:
        assert ended.code == 0
sys.exit(" ".join(name for name in sys.argv[1].split() if name in sys.modules))
"""
    done = python(script, HEAVY, *COMMANDS)
    assert done.stderr.strip() == "" and done.stdout.count("usage: codec") == 1 + len(COMMANDS)


def test_bad_arguments_are_found_before_anything_heavy_is_imported():
    command = [sys.executable, "-X", "importtime", "-m", "codec", "encode", "a.wav"]
    done = subprocess.run(command, text=True, capture_output=True)
    assert done.returncode == BAD_INPUT and " argparse" in done.stderr and "torch" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_and_its_options(codec, command):
    assert command in codec("--help").out
    shown = codec(command, "--help")
    assert shown.status == 0 and shown.err == "" and shown.out.startswith(f"usage: codec {command}")


def test_python_dash_m_is_the_command_too(tmp_path):
    command = [sys.executable, "-m", "codec", "prepare", "nowhere", "--out", "data"]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True)
    ran = Ran(done.returncode, done.stdout, done.stderr)
    assert ran.complaint.startswith(f"{tmp_path / 'nowhere'}: ") and not contents(tmp_path)
