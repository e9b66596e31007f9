"""Count the packages and MB of each extra, those of the core included: ``VENV/bin/python -m tests.install_size``.

The environment has to hold ``.[all,transformers,ray,slurm,docs,wandb,mlflow,trackio,peers]``. The table of
docs/installation.md comes from one with the CPU build of PyTorch.
"""

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "lathe-codec"
EXTRAS = (
    *("", "train", "eval", "speech-metrics", "search", "onnx", "hub", "tensorboard", "s3", "parquet", "litdata", "all"),
    *("transformers", "ray", "slurm", "docs", "wandb", "mlflow", "trackio", "peers"),
)


def megabytes(name: str) -> float:
    """Return the size of a distribution's files as they are installed, with compiled bytecode, in MB."""
    found = distribution(name)
    files = (Path(str(found.locate_file(file))) for file in found.files or ())
    return sum(path.stat().st_size for path in files if path.is_file()) / 1e6


def needed_by(name: str, extras: frozenset[str], known: set[tuple[str, str]] | None = None) -> set[str]:
    """Return the installed distributions that one needs, itself included, directly and through others."""
    known = set() if known is None else known
    for extra in {"", *extras}:
        if (name, extra) in known:
            continue
        known.add((name, extra))
        try:
            requirements = map(Requirement, distribution(name).requires or ())
        except PackageNotFoundError:  # an optional requirement of another package
            known.discard((name, extra))
            continue
        for needed in requirements:
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                needed_by(canonicalize_name(needed.name), frozenset(needed.extras), known)
    return {name for name, _ in known}


def main() -> None:
    for extra in EXTRAS:
        names = needed_by(PROJECT, frozenset({extra})) - {PROJECT}
        print(f"{extra or '(none)':12} {len(names):4} packages {sum(map(megabytes, names)):7.0f} MB")


if __name__ == "__main__":
    main()
