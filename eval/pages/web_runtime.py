"""ONNX Runtime for browsers: the few files of the npm package ``onnxruntime-web`` that a page needs.

They are fetched with npm, compared with a known digest, and kept in the user's cache; or taken from a folder.
"""

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from codec.errors import UserError
from codec.runtime.atomic_files import replacing
from codec.runtime.user_cache import cache_folder

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""Digest of the package, as npm writes it."""

WASM_MODULE, WEBGPU_MODULE = "ort.wasm.min.mjs", "ort.webgpu.min.mjs"
WASM_FILES = (WASM_MODULE, "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_WEBGPU = (WEBGPU_MODULE, "ort-wasm-simd-threaded.asyncify.mjs", "ort-wasm-simd-threaded.asyncify.wasm")


def find_runtime(folder: Path | None = None, webgpu: bool = False) -> list[Path]:
    """Find the files of the runtime, and fetch them if they are not in the cache yet.

    Args:
        folder: folder of the files, of the package, or one with ``node_modules``; by default the cache
        webgpu: whether the files for WebGPU are wanted as well

    Returns:
        The files.

    Raises:
        UserError: a file is not in ``folder``; npm is not installed, fails or brings another package.
    """
    names = (*WASM_FILES, *_WEBGPU) if webgpu else WASM_FILES
    if folder is not None:
        for place in (folder, folder / "dist", folder / "node_modules" / PACKAGE / "dist"):
            if all((place / name).is_file() for name in names):
                return [place / name for name in names]
        raise UserError(
            f"{folder}: no {', '.join(names)} of {PACKAGE} in it; leave out --runtime to fetch them with npm"
        )
    place = cache_folder() / f"{PACKAGE}-{VERSION}"
    if not all((place / name).is_file() for name in names):
        _fetch(place, (*WASM_FILES, *_WEBGPU))
    return [place / name for name in names]


def _fetch(place: Path, names: tuple[str, ...]) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            f"{PACKAGE} {VERSION} is fetched with npm, which is not installed; install Node.js, or give --runtime"
            " DIR with the files of this package"
        )
    with tempfile.TemporaryDirectory() as folder:
        words = [npm, "pack", "--silent", "--ignore-scripts", f"{PACKAGE}@{VERSION}"]
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        packed = next(Path(folder).glob("*.tgz"), None)
        if done.returncode or packed is None:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
            raise UserError(f"npm cannot fetch {PACKAGE} {VERSION} ({reason}); give --runtime DIR with its files")
        digest = base64.b64encode(hashlib.sha512(packed.read_bytes()).digest()).decode()
        if f"sha512-{digest}" != INTEGRITY:
            raise UserError(
                f"npm brought another {PACKAGE} {VERSION} than the known one; give --runtime DIR with its files"
            )
        place.mkdir(parents=True, exist_ok=True)
        with tarfile.open(packed) as archive:
            for name in names:
                source = archive.extractfile(f"package/dist/{name}")
                assert source is not None
                with source, replacing(place / name) as part, part.open("wb") as target:
                    shutil.copyfileobj(source, target)
