"""Install exactly the oldest versions that pyproject.toml allows, and run tests with them.

    python -m tests.minimum_versions VENV [TESTS …] [--instead torch==2.13.0]

``VENV`` is made where it is missing. Needs the packages ``packaging`` and ``pip``, and ``tomli`` before Python 3.11.
What these packages themselves need comes in its newest version. Without TESTS: those that reach every dependency.

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
from typing import Any

from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
TOOLS = {"build", "hatchling", "mypy", "ruff", "types-PyYAML", "types-tqdm"}
"""They build the package or look at its code, and are not needed to run it."""
TESTS = (
    "tests/audio/test_audio.py",
    "tests/bitstream/test_bitstream.py",
    "tests/data_prep/test_prepare.py",
    "tests/eval/metrics",
    "tests/eval/pages",
    "tests/eval/search",
    "tests/eval/systems",
    "tests/eval/training_health",
    "tests/losses",
    "tests/model",
    "tests/pretrained",
    "tests/runtime/test_extras.py",
    "tests/test_recipes.py",
    "tests/training",
)


def project_table() -> dict[str, Any]:
    """Return the table ``[project]`` of pyproject.toml."""
    table: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return table


def requirements_of(extra: str) -> list[str]:
    """Return the requirements of an extra of pyproject.toml, with those of the extras of ours that it names."""
    found: list[str] = []
    project = project_table()
    for text in project["optional-dependencies"][extra]:
        needed = Requirement(text)
        inner = sorted(needed.extras) if needed.name == project["name"] else []
        found += [text for name in inner for text in requirements_of(name)] if inner else [text]
    return list(dict.fromkeys(found))


def lower_bounds(instead: Sequence[str]) -> list[str]:
    """Return requirements ``NAME==VERSION`` for this Python.

    Args:
        instead: requirements of this kind that take the place of others.
    """
    found = {}
    for needed in map(Requirement, [*project_table()["dependencies"], *requirements_of("dev")]):
        if needed.name in TOOLS or (needed.marker and not needed.marker.evaluate()):
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
    sys.exit(subprocess.run([python, "-m", "pytest", *(arguments.tests or TESTS)], cwd=ROOT).returncode)


if __name__ == "__main__":
    main()
