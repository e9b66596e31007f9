"""Models by name, by path, or by the fingerprint in a file. Built-in ones lie in ``codec/models/NAME/``."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock

import torch

from codec.checkpoint import CONFIG, fingerprint, load_model, read_fingerprints
from codec.errors import UserError
from codec.files import expected_kbps
from codec.model.codec import Codec

MODELS = Path(__file__).parent / "models"

_LOADING = Lock()
"""Threads that share a finder have each model once."""


@dataclass(frozen=True)
class Description:
    """One model. Rates are what to expect of one channel with one codebook, and with all."""

    name: str
    fingerprint: str
    sample_rate: int
    min_kbps: float
    max_kbps: float
    parameters: int


def built_in() -> dict[str, Path]:
    """Name and folder of each built-in model."""
    return {config.parent.name: config.parent for config in sorted(MODELS.glob(f"*/{CONFIG}"))}


def name_of(place: Path) -> str:
    """What :func:`find` finds it by: the name of a built-in model, or else the path."""
    return next((name for name, path in built_in().items() if path.resolve() == place.resolve()), str(place))


def find(name: str) -> Path:
    """Where the model is that has this name, or else this path. Raises ``UserError`` where there is neither."""
    there = built_in()
    if name in there:
        return there[name]
    if not Path(name).exists():
        also = f"built in are {', '.join(there)}" if there else "this installation has no built-in model"
        raise UserError(f"no model {name}: {also}; pass --model with a name or with the folder of a run or of a model")
    return Path(name)


def usable(device: str | torch.device) -> torch.device:
    """That device, such as ``"cpu"`` or ``"cuda"``. Raises ``UserError`` where nothing can be computed on it."""
    try:
        torch.zeros(1, device=device).cpu()
        return torch.device(device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"the device {device} cannot be used ({str(error).splitlines()[0]}); use cpu") from error


def load(name: str, device: str | torch.device = "cpu") -> Codec:
    """The model that :func:`find` finds, on a device. Raises ``UserError`` where one of both cannot be used."""
    return load_model(find(name)).to(usable(device))


def finder(others: Iterable[Path] = (), device: str | torch.device = "cpu") -> Callable[[str], Codec | None]:
    """What finds the model for a fingerprint: among ``others``, then among the built-in ones; each is loaded once, to
    the ``device``.

    A model that wrote the file is preferred to one that can decode it. The finder can be pickled.
    """
    known = [(place, read_fingerprints(place)) for place in (*others, *built_in().values())]
    return partial(_model_for, known, usable(device), {})


def _model_for(
    known: list[tuple[Path, list[str]]], device: torch.device, loaded: dict[Path, Codec], wanted: str
) -> Codec | None:
    places = [place for place, (own, *_) in known if own == wanted]
    places += [place for place, names in known if wanted in names]
    if not places:
        return None
    with _LOADING:
        if places[0] not in loaded:
            loaded[places[0]] = load_model(places[0]).to(device)
        return loaded[places[0]]


def describe(name: str, place: Path) -> Description:
    codec = load_model(place)
    rates = expected_kbps(codec, 1)
    return Description(
        name=name,
        fingerprint=fingerprint(codec),
        sample_rate=codec.config.sample_rate,
        min_kbps=rates[0],
        max_kbps=rates[-1],
        parameters=sum(weight.numel() for weight in codec.parameters()),
    )
