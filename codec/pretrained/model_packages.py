"""Where models with names come from: this package, the older models, and packages of others.

The distribution ``lathe-codec-older-models`` holds models that were built in before. In the repository it is the folder
``older_models/``, which is searched without being installed. Any other distribution brings models by an entry point in
the group :data:`ENTRY_POINTS`, whose value is the name of a package that holds folders of models.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from codec.pretrained.model_folder import CONFIG
from codec.runtime import own_packages

ENTRY_POINTS = "codec.models"
"""Group of the entry points of distributions that bring models."""

DISTRIBUTION, OLDER_DISTRIBUTION = "lathe-codec", "lathe-codec-older-models"

OLDER_MODELS = {"7fff8c7210f41de5": "speech_16k"}
"""Names of the models in ``lathe-codec-older-models`` by fingerprint, known whether it is installed or not."""

INSTALL_OLDER_MODELS = f"pip install {OLDER_DISTRIBUTION} (in the repository: pip install ./older_models)"
"""How to install the older models, as the end of an error message."""


@dataclass(frozen=True)
class ModelPackage:
    """A folder of models and where it comes from."""

    distribution: str
    """Name of the distribution, as pip lists it."""
    folder: Path
    """Folder that holds the folder of each model."""


def model_packages() -> Iterator[ModelPackage]:
    """Find the packages that bring models.

    Other distributions are looked for only when the iterator gets there, since that reads the metadata of each.

    Yields:
        This package first, then the others by distribution; a package that cannot be found is left out.
    """
    yield ModelPackage(DISTRIBUTION, Path(__file__).parent)
    checkout = own_packages.FOLDER / "older_models" / "lathe_codec_older_models"
    if checkout.is_dir():
        yield ModelPackage(OLDER_DISTRIBUTION, checkout)
    from importlib.metadata import entry_points

    for distribution, package in sorted(
        (entry.dist.name if entry.dist else entry.name, entry.module) for entry in entry_points(group=ENTRY_POINTS)
    ):
        for folder in _folders(package):
            yield ModelPackage(distribution, folder)


def iterate_models() -> Iterator[tuple[str, Path]]:
    """Find the models with names, those of the first of :func:`model_packages` first.

    Yields:
        Name and folder of each. A name that occurs twice is that of the first.
    """
    for package in model_packages():
        for config in sorted(package.folder.glob(f"*/{CONFIG}")):
            yield config.parent.name, config.parent


def _folders(package: str) -> list[Path]:
    """Find the folders of a package without running its code, unless it lies within another one."""
    try:
        spec = find_spec(package)
    except ImportError:
        return []
    return [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
