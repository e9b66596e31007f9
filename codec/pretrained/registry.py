"""Models by name, by path, or by the fingerprint in a file. Built-in ones lie in ``codec/pretrained/NAME/``."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock

import torch

from codec.coding.files import expected_kbps
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import CONFIG, fingerprint, load_model, model_folder, read_fingerprints

MODELS = Path(__file__).parent

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
        if not there:
            folder = "give the folder of a run or of a model, as --model or --init-from"
            raise UserError(f"no model {name}: this installation has no built-in model; {folder}")
        names = ", ".join(there)
        raise UserError(
            f"no model {name}: built in are {names}; give one of these, or the folder of a run or of a model"
        )
    return Path(name)


ONNX = "onnx"
"""The device that is ONNX Runtime on the CPU, with the graphs beside a model."""


def load(name: str, device: str | torch.device = "cpu", threads: int = 1) -> Codec:
    """The model that :func:`find` finds, on a device, such as ``"cpu"``, ``"cuda"`` or :data:`ONNX`, which has
    ``threads``. Raises ``UserError`` where one of both cannot be used."""
    _check(device)
    return _load(find(name), device, threads)


def _load(place: Path, device: str | torch.device, threads: int = 1) -> Codec:
    codec = load_model(place)
    if device != ONNX:
        return codec.to(device)
    from codec.pretrained.onnx_backend import with_graphs

    return with_graphs(codec, model_folder(place), threads)


def _check(device: str | torch.device) -> None:
    """Raises ``UserError`` where nothing can be computed on it."""
    try:
        torch.zeros(1, device="cpu" if device == ONNX else device).cpu()
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"the device {device} cannot be used ({str(error).splitlines()[0]}); use cpu") from error


def finder(others: Iterable[Path] = (), device: str | torch.device = "cpu") -> Callable[[str], Codec | None]:
    """What finds the model for a fingerprint: among ``others``, then among the built-in ones; each is loaded once, to
    the ``device``.

    A model that wrote the file is preferred to one that can decode it. The finder can be pickled.
    """
    known = [(place, read_fingerprints(place)) for place in (*others, *built_in().values())]
    _check(device)
    return partial(_model_for, known, device, {})


def _model_for(
    known: list[tuple[Path, list[str]]], device: str | torch.device, loaded: dict[Path, Codec], wanted: str
) -> Codec | None:
    places = [place for place, (own, *_) in known if own == wanted]
    places += [place for place, names in known if wanted in names]
    if not places:
        return None
    with _LOADING:
        if places[0] not in loaded:
            loaded[places[0]] = _load(places[0], device)
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
