"""Models by name, by path, or by the fingerprint in a file. Where those with names lie: ``model_packages.py``.

Finding and describing models needs neither PyTorch nor the networks; only loading them does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from codec.bitstream.header import is_fingerprint_of
from codec.coding.bit_rate import expected_bits, expected_kbps
from codec.errors import UserError
from codec.pretrained.hub import SCHEME, download_model, is_hub_id
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.model_folder import (
    count_parameters,
    read_arrays,
    read_codec_config,
    read_fingerprints,
)
from codec.pretrained.model_packages import INSTALL_OLDER_MODELS, OLDER_MODELS, iterate_models, model_packages

if TYPE_CHECKING:
    import torch

    from codec.model.streaming import StreamingCodec

ONNX = "onnx"
"""Name of the device that is ONNX Runtime on the CPU, with the graphs in the folder of a model."""


@dataclass(frozen=True)
class ModelDescription:
    """One model in figures, as ``codec models`` lists it."""

    name: str
    fingerprint: str
    sample_rate: int
    """Sample rate in Hz."""
    min_kbps: float
    """Expected bit rate of one channel with one codebook, in kbit/s."""
    max_kbps: float
    """Expected bit rate of one channel with all codebooks, in kbit/s."""
    parameters: int
    """Numbers that gradients trained."""
    distribution: str | None
    """Distribution that the model came with; None for a folder of the user's."""


def built_in() -> dict[str, Path]:
    """List the built-in models, those in other installed distributions included.

    Returns:
        The folder of each by its name. Where two have the same name, it is the one in the first of
        :func:`codec.pretrained.model_packages.model_packages`.
    """
    folders: dict[str, Path] = {}
    for name, folder in iterate_models():
        folders.setdefault(name, folder)
    return dict(sorted(folders.items()))


def not_installed() -> list[str]:
    """List the older models whose distribution is not installed.

    Returns:
        Their names.
    """
    return sorted(set(OLDER_MODELS.values()) - built_in().keys())


def model_name(place: Path) -> str:
    """Return the name by which :func:`find_model` finds a folder.

    Args:
        place: folder of a model or run

    Returns:
        The name of a built-in model, or else the path.
    """
    return next((name for name, path in iterate_models() if path.resolve() == place.resolve()), str(place))


def find_model(name: str) -> Path:
    """Find a model.

    Args:
        name: name of a built-in model, the path of the folder of a model or run, or ``hf://OWNER/NAME``, see
            :mod:`codec.pretrained.hub`

    Returns:
        Its folder, which exists, but may hold no model.

    Raises:
        UserError: neither a built-in model nor a path nor a model of the Hub.
    """
    if name.startswith(SCHEME):
        return download_model(name)
    for known, folder in iterate_models():
        if known == name:
            return folder
    if not Path(name).exists():
        there = built_in()
        if name in OLDER_MODELS.values():
            raise UserError(f"no model {name}: it is one of the older models; {INSTALL_OLDER_MODELS}")
        if not there:
            advice = "give the folder of a run or of a model, as --model or --init-from"
            raise UserError(f"no model {name}: this installation has no built-in model; {advice}")
        names = ", ".join(there)
        hub = f", or {SCHEME}{name} for one of the Hugging Face Hub" if is_hub_id(name) else ""
        raise UserError(
            f"no model {name}: built in are {names}; give one of these, or the folder of a run or of a model{hub}"
        )
    return Path(name)


def pretrained_name(name: str, revision: str | None = None) -> str:
    """Complete the name of a model that may be one of the Hub without saying so.

    Args:
        name: as for :func:`find_model`, or ``OWNER/NAME`` of the Hub, unless there is such a path here
        revision: branch, tag or commit of the repository on the Hub

    Returns:
        A name for :func:`find_model`.

    Raises:
        UserError: a revision of a model that is not on the Hub.
    """
    if is_hub_id(name) and not Path(name).exists():
        name = f"{SCHEME}{name}"
    if revision is None:
        return name
    if not name.startswith(SCHEME):
        raise UserError(
            f"{name}: a revision is for models of the Hugging Face Hub, not for folders and built-in models"
        )
    return f"{name}@{revision}"


def load_model(name: str, device: str | torch.device = "cpu", threads: int = 1, dtype: str = "float32") -> LoadedModel:
    """Load a model, ready to code.

    Args:
        name: as for :func:`find_model`
        device: device of the model, such as ``"cpu"``, ``"cuda"`` or :data:`ONNX`
        threads: CPU threads of ONNX Runtime; without effect on other devices
        dtype: data type of the decoder, one of :data:`codec.model.decoder_dtypes.DTYPES`; with :data:`ONNX`, the type
            in which the weights of its graph are stored

    Returns:
        The model on the device.

    Raises:
        UserError: no such model, it is damaged, or the device cannot be used, or not with this type.
    """
    check_device(device)
    return _load(find_model(name), device, dtype, threads, name)


def _load(
    place: Path, device: str | torch.device, dtype: str = "float32", threads: int = 1, name: str = ""
) -> LoadedModel:
    codec: StreamingCodec
    if device == ONNX:
        from codec.pretrained.onnx_codec import OnnxCodec

        codec = OnnxCodec(place, threads, dtype)
    else:
        from codec.pretrained.checkpoint import load_codec

        codec = load_codec(place).to(device)
    loaded = LoadedModel(codec, name or model_name(place), read_fingerprints(place)[0])
    if device != ONNX:
        loaded.set_decoder_dtype(dtype)
    return loaded


def check_device(device: str | torch.device) -> None:
    """Check that a device computes.

    Args:
        device: as for :func:`load_model`

    Raises:
        UserError: nothing can be computed on it.
    """
    if device in ("cpu", ONNX):
        return
    import torch

    try:
        torch.zeros(1, device=device).cpu()
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"the device {device} cannot be used ({str(error).splitlines()[0]}); use cpu") from error


class ModelFinder:
    """Finds and loads the model for the fingerprint in a file; each model is loaded once, even by several threads.

    A model that has the fingerprint itself is preferred to one that merely decodes its codes. An object can be pickled;
    models that it has loaded are pickled with it.

    Args:
        others: folders of models or runs that are searched ahead of the built-in models
        device: device of the models, see :func:`load_model`
        dtype: data type of their decoders, see :func:`load_model`

    Raises:
        UserError: one of the folders holds no model, or the device cannot be used.
    """

    def __init__(self, others: Iterable[Path] = (), device: str | torch.device = "cpu", dtype: str = "float32") -> None:
        self._others = list(others)
        for place in self._others:
            read_fingerprints(place)
        self._found: dict[str, Path | None] = {}
        self._device, self._dtype = device, dtype
        self._loaded: dict[Path, LoadedModel] = {}
        self._lock = Lock()
        check_device(device)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._lock = Lock()

    def to(self, device: str) -> None:
        """Load all models to another device from now on; built-in ones from the installation of this process.

        Args:
            device: the device

        Raises:
            UserError: it cannot be used.
        """
        vars(self).update(vars(ModelFinder(self._others, device, self._dtype)))

    def __call__(self, fingerprint: str) -> LoadedModel | None:
        """Return the model that decodes files with this fingerprint, or None if there is none.

        Args:
            fingerprint: hexadecimal digits with which the model's fingerprint begins, as in the header of a file

        Returns:
            The loaded model.

        Raises:
            UserError: the model is damaged.
        """
        with self._lock:
            if fingerprint not in self._found:
                self._found[fingerprint] = self.find(fingerprint)
            place = self._found[fingerprint]
            if place is not None and place not in self._loaded:
                self._loaded[place] = _load(place, self._device, self._dtype)
            return None if place is None else self._loaded[place]

    def find(self, fingerprint: str) -> Path | None:
        """Find the folder of the model that decodes files with this fingerprint, without loading it.

        Args:
            fingerprint: as for a call

        Returns:
            The folder, or None if there is no such model.

        Raises:
            UserError: a model is damaged.
        """
        decodes_it = None
        for place in chain(self._others, (folder for _, folder in iterate_models())):
            own, *others = read_fingerprints(place)
            if is_fingerprint_of(fingerprint, [own]):
                return place
            if decodes_it is None and is_fingerprint_of(fingerprint, others):
                decodes_it = place
        return decodes_it


def describe_model(name: str, place: Path) -> ModelDescription:
    """Describe a model without loading its networks.

    Args:
        name: name under which it is listed
        place: its folder, or that of a run

    Returns:
        The figures.

    Raises:
        UserError: no model there, or damaged.
    """
    config = read_codec_config(place)
    frequencies, shares = read_arrays(place, "tables.frequencies", "tables.shares")
    bits = expected_bits(frequencies, shares if shares.size else None)
    rates = expected_kbps(bits, config.frame_rate_hz, 1)
    return ModelDescription(
        name=name,
        fingerprint=read_fingerprints(place)[0],
        sample_rate=config.sample_rate,
        min_kbps=rates[0],
        max_kbps=rates[-1],
        parameters=count_parameters(place),
        distribution=_distribution(place),
    )


def _distribution(place: Path) -> str | None:
    parent = place.resolve().parent
    return next((package.distribution for package in model_packages() if package.folder.resolve() == parent), None)
