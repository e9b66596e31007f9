"""Count the packages and MB of an environment: ``VENV/bin/python -m tests.install_size``.

The figures of the README come from a new environment with the CPU build of PyTorch, after ``pip install .``, and again
after each of the extras, without pip and this project itself.
"""

from importlib.metadata import Distribution, distributions
from pathlib import Path

NOT_COUNTED = {"lathe-codec", "pip"}


def megabytes(distribution: Distribution) -> float:
    """Return the size of a distribution's files as they are installed, with compiled bytecode, in MB."""
    files = (Path(str(distribution.locate_file(file))) for file in distribution.files or ())
    return sum(path.stat().st_size for path in files if path.is_file()) / 1e6


def main() -> None:
    sizes = {found.name: megabytes(found) for found in distributions() if found.name not in NOT_COUNTED}
    for name, size in sorted(sizes.items(), key=lambda item: -item[1])[:10]:
        print(f"{size:8.1f} MB  {name}")
    print(f"{sum(sizes.values()):8.0f} MB  in {len(sizes)} packages")


if __name__ == "__main__":
    main()
