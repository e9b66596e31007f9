"""A page that plays ``.nac`` files in a browser: a folder of static files for any web server.

Its programs in ``browser/`` decode the files by docs/bitstream.md, independently of :mod:`codec.bitstream`, and run the
networks in onnxruntime-web.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from urllib.parse import quote

from codec.batch.inputs import NAC, FileKinds, below_common, find_inputs
from codec.batch.report import Failure
from codec.batch.task import attempt
from codec.coding.file_info import describe_damage, file_info
from codec.errors import UserError
from codec.pretrained.cached_graphs import graphs_of
from codec.pretrained.model_folder import read_fingerprints
from codec.pretrained.onnx_backend import CONSTANTS, DECODER, ENCODER, TABLES, decoder_graph
from codec.pretrained.registry import ModelFinder, model_name
from codec.runtime.atomic_files import remove_abandoned_parts, replacing
from eval.pages import web_runtime
from eval.pages.page import as_json, write_page

_APP = Path(__file__).parent / "browser"
_MODEL_FILES = (DECODER, ENCODER, CONSTANTS, TABLES)


@dataclass(frozen=True)
class NacPage:
    """What was written."""

    folder: Path
    files: int
    decoder_bytes: int
    """Size of the largest decoder."""
    tables_bytes: int
    """Size of the largest tables of frequencies."""
    encoder_bytes: int
    """Size of the largest encoder, which is loaded when the first sound is dropped."""
    runtime_bytes: int
    """Size of the runtime, without that for WebGPU."""
    failures: tuple[Failure, ...] = ()
    """Files that are not on the page."""
    damaged: tuple[Failure, ...] = ()
    """Damage to files on the page, which it conceals."""

    def text(self) -> str:
        """Describe the page.

        Returns:
            Some lines.
        """
        megabytes = [f"{size / 1e6:.1f} MB" for size in (self.decoder_bytes, self.tables_bytes, self.runtime_bytes)]
        return (
            f"page: {self.folder} with {self.files} file{'s' * (self.files != 1)}\n"
            f"a browser loads: decoder {megabytes[0]}, tables {megabytes[1]}, runtime {megabytes[2]}; for the first"
            f" dropped sound, encoder {self.encoder_bytes / 1e6:.1f} MB\n"
            f"to see it: python -m http.server --directory {self.folder}, then http://localhost:8000"
        )


def write_nac_page(
    sources: Sequence[Path],
    out: Path,
    models: Sequence[Path] = (),
    dtype: str = "int8",
    runtime: Path | None = None,
    webgpu: bool = False,
) -> NacPage:
    """Write a page, whole or not at all. Files that cannot be played are left out.

    Args:
        sources: ``.nac`` files, folders of them or patterns
        out: folder to create; if it exists, it must be empty
        models: models or runs that are searched for those of the files ahead of the built-in ones; all are on the page,
            which can encode with them
        dtype: type in which the decoders' weights are stored, one of
            :data:`codec.model.decoder_dtypes.GRAPH_DTYPES`
        runtime: folder of ``onnxruntime-web``; by default it is fetched with npm
        webgpu: whether the page computes with WebGPU where a browser has it

    Returns:
        What was written.

    Raises:
        UserError: nothing to play or to encode with, or none of the files can be played, since they cannot be read or
            their models are not known; no runtime; ``out`` is not empty or cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: exists and is not an empty folder; choose another --out")
    found = _find_playable(sources, models)
    files, places = found.files, found.models
    parts = web_runtime.find_runtime(runtime, webgpu)
    remove_abandoned_parts(out.parent, {out.name})
    try:
        with replacing(out) as part:
            shutil.copytree(_APP, part / "app")
            for folder, copied in (("runtime", [(path, path.name) for path in parts]), ("files", files)):
                for path, name in copied:
                    (part / folder / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(path, part / folder / name)
            listed = [_add_model(place, part, dtype) for place in places]
            sizes = {
                name: max((part / str(one["path"]) / name).stat().st_size for one in listed) for name in _MODEL_FILES
            }
            settings = {
                "files": [{"name": name, "path": quote(f"files/{name}")} for _, name in files],
                "models": listed,
                "runtime": f"runtime/{web_runtime.WEBGPU_MODULE if webgpu else web_runtime.WASM_MODULE}",
                "wasmRuntime": f"runtime/{web_runtime.WASM_MODULE}",
                "webgpu": webgpu,
            }
            write_page(
                part / "index.html",
                "nac_page.html.j2",
                title=files[0][1] if len(files) == 1 else f"{len(files)} files" if files else "Encode and play",
                kind="player",
                made=datetime.now(timezone.utc).isoformat(),
                models=listed,
                encoder_mb=round(sizes[ENCODER] / 1e6),
                runtime_version=web_runtime.VERSION,
                settings=as_json(settings),
            )
    except OSError as error:
        raise UserError(f"{error.filename or out}: cannot write ({error.strerror})") from error
    wasm = sum(path.stat().st_size for path in parts if path.name in web_runtime.WASM_FILES)
    return NacPage(
        out,
        len(files),
        sizes[DECODER],
        sizes[TABLES],
        sizes[ENCODER],
        wasm,
        failures=tuple(found.failures),
        damaged=tuple(found.damaged),
    )


@dataclass(frozen=True)
class _Playable:
    """What a page plays."""

    files: list[tuple[Path, str]]
    """Path and name of each file."""
    models: list[Path]
    failures: list[Failure]
    damaged: list[Failure]


def _find_playable(sources: Sequence[Path], models: Sequence[Path]) -> _Playable:
    """Find the files and their models; the names are paths below the folder of all files if two would be the same."""
    finder, found = ModelFinder(models), _Playable([], list(models), [], [])
    if sources:
        inputs = find_inputs(sources, FileKinds(f"{NAC} files", {NAC}))
        found.failures.extend(inputs.failures)
        alike = len({name for _, name in inputs.files}) < len(inputs.files)
        for path, name in below_common(inputs.files) if alike else inputs.files:
            info = attempt(path, partial(file_info, path))
            place = None if isinstance(info, Failure) else finder.find(info["fingerprint"])
            if isinstance(info, Failure):
                found.failures.append(info)
            elif place is None:
                unknown = f"made with the model {info['fingerprint']}, which is not built in"
                found.failures.append(Failure(path, f"{path}: {unknown}; give its folder with --model"))
            else:
                found.files.append((path, name.as_posix()))
                found.damaged.extend(Failure(path, line) for line in describe_damage(info))
                if place not in found.models:
                    found.models.append(place)
        if not found.files:
            several = f"none of {len(found.failures)} files can be played; " if len(found.failures) > 1 else ""
            raise UserError(several + found.failures[0].reason)
    if not found.models:
        raise UserError("nothing to play and nothing to encode with; give .nac files, or --model")
    return found


def _add_model(place: Path, page: Path, dtype: str) -> dict[str, object]:
    """Copy what the page needs of a model; returns its entry in the settings."""
    graphs = graphs_of(place, dtype)
    fingerprints = read_fingerprints(graphs)
    target = page / "models" / fingerprints[0]
    target.mkdir(parents=True)
    for source, name in ((decoder_graph(dtype), DECODER), *((name, name) for name in (ENCODER, CONSTANTS, TABLES))):
        shutil.copyfile(graphs / source, target / name)
    return {"name": model_name(place), "fingerprints": fingerprints, "path": f"models/{fingerprints[0]}"}
