"""Install exactly the oldest versions that pyproject.toml allows, and run tests with them.

    python -m tests.minimum_versions VENV [TESTS …] [--instead torch==2.13.0]

``VENV`` is made where it is missing. Needs Python 3.11 or newer, and the packages ``packaging`` and ``pip``. What these
packages themselves need comes in its newest version. Without TESTS: those that reach all of the dependencies.

Last passed on 2026-11-27, on Python 3.11.7, with torch 2.13.0 in the place of 2.11, of which there was no build for the
CPU: 542 tests, and 276 of the readers (PyAV before 17.1, with FFmpeg before 8.1.1, cuts ALAC in CAF short, and before
17.0, with FFmpeg 8.0, ends Ogg Opus elsewhere).
"""

import argparse
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

import tomllib
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
EXTRAS = ("eval", "onnx", "dev")
TOOLS = {"build", "hatchling", "mypy", "ruff", "types-PyYAML", "types-tqdm"}
"""They build the package or look at its code, and are not needed to run it."""
TESTS = (
    *(
        "training",
        "model",
        "frequency_tables",
        "prepare",
        "graphs",
        "metrics",
        "search",
        "recipes",
        "bitstream",
        "report",
    ),
    *("losses", "loudness", "lossy", "audio", "health"),
)


def lower_bounds(instead: Sequence[str]) -> list[str]:
    """Requirements ``NAME==VERSION`` for this Python; those in ``instead`` take the place of others."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    texts = [*project["dependencies"], *(text for extra in EXTRAS for text in project["optional-dependencies"][extra])]
    found = {}
    for needed in map(Requirement, texts):
        if needed.name in {project["name"], *TOOLS} or (needed.marker and not needed.marker.evaluate()):
            continue
        (version,) = (part.version for part in needed.specifier if part.operator in (">=", "=="))
        extras = f"[{','.join(sorted(needed.extras))}]" if needed.extras else ""
        found[needed.name] = f"{needed.name}{extras}=={version}"
    return list((found | {Requirement(text).name: text for text in instead}).values())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.minimum_versions", description=__doc__.splitlines()[0])
    parser.add_argument("venv", type=Path, help="a folder for the environment; made where it is missing")
    parser.add_argument(
        "--instead", action="append", default=[], metavar="NAME==VERSION", help="in the place of the oldest (repeat)"
    )
    parser.add_argument("tests", nargs="*", help="for pytest (default: those that reach all of the dependencies)")
    arguments = parser.parse_intermixed_args()
    python = arguments.venv / "bin/python"
    if not python.exists():
        venv.create(arguments.venv, with_pip=True)
    install = [python, "-m", "pip", "install"]
    wanted = lower_bounds(arguments.instead)
    print("\n".join(wanted), flush=True)
    subprocess.run([*install, *wanted, "hatchling>=1.27"], check=True)
    subprocess.run([*install, "--no-deps", "--no-build-isolation", "-e", ROOT], check=True)
    tests = arguments.tests or [f"tests/test_{name}.py" for name in TESTS]
    sys.exit(subprocess.run([python, "-m", "pytest", *tests], cwd=ROOT).returncode)


if __name__ == "__main__":
    main()
