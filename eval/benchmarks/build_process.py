"""A build of this package in a process of its own, which codes what it is told to, again and again.

Commands and :func:`codec.load` are what all builds have in common.
"""

import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from types import TracebackType
from typing import IO

import torch
from torch import Tensor

from codec.errors import UserError
from eval.systems.architectures import SpeedSubject

_CHILD = """
import json, os, sys

answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)
import torch
from codec.cli import main

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
models = {}

def command(*words):
    try:
        main(words)
    except SystemExit as ended:
        if ended.code:
            raise

def load(name, model, seconds, threads):
    import codec
    loaded = codec.load(model, threads=threads)
    noise = torch.randn(round(seconds * loaded.sample_rate), generator=torch.Generator().manual_seed(0)).numpy()
    models[name] = [loaded, 0.1 * noise, None]
    return loaded.sample_rate

def encode(name, samples):
    one = models[name]
    one[2] = one[0].encode(one[1][:samples], one[0].sample_rate)

def decode(name):
    models[name][0].decode(models[name][2])

for line in sys.stdin:
    function, *arguments = json.loads(line)
    print(json.dumps(globals()[function](*arguments)), file=answers)
"""


class BuildProcess:
    """A process that runs a build; to be used in a ``with`` statement.

    Args:
        name: name of the build in messages.
        folder: folder that holds its package ``codec``.
        threads: CPU threads of PyTorch.
    """

    def __init__(self, name: str, folder: Path, threads: int) -> None:
        self.name = name
        self._folder = folder
        self._threads = threads
        self._process: subprocess.Popen[str] | None = None
        self._messages: IO[bytes] | None = None

    def __enter__(self) -> "BuildProcess":
        variables = os.environ | {"PYTHONPATH": str(self._folder), "OMP_NUM_THREADS": str(self._threads)}
        self._messages = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CHILD],
            cwd=self._folder,
            env=variables,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._messages,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None and self._messages is not None
        self._process.kill()
        self._process.communicate()
        self._messages.close()

    def call(self, function: str, *arguments: object) -> object:
        """Let the process call one of its functions: ``command``, ``load``, ``encode`` or ``decode``.

        Args:
            function: its name.
            arguments: its arguments, as JSON can hold them.

        Returns:
            What it returned.

        Raises:
            UserError: it failed.
        """
        assert self._process is not None and self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([function, *arguments]) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise UserError(f"{self.name}: {function} failed: {self._last_message()}")
        found: object = json.loads(answer)
        return found

    def _last_message(self) -> str:
        assert self._process is not None and self._messages is not None
        self._process.wait()
        self._messages.seek(0)
        lines = self._messages.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "killed"

    def subject(self, name: str, model: str, kbps: float, seconds: float) -> SpeedSubject:
        """Return a model in this build as a system that codes noise in memory, with all codebooks.

        Args:
            name: name of the system.
            model: name or folder of the model.
            kbps: bit rate of all codes in kbit/s.
            seconds: longest duration of the noise.

        Returns:
            The system.

        Raises:
            UserError: the build cannot load the model.
        """
        rate = self.call("load", name, model, seconds, self._threads)
        assert isinstance(rate, int)

        def encode(waveform: Tensor) -> None:
            self.call("encode", name, waveform.shape[-1])

        def decode(_: object) -> Tensor:
            self.call("decode", name)
            return torch.empty(0)

        return SpeedSubject(name, rate, kbps, None, encode, decode)


def unpack_wheel(wheel: Path, folder: Path) -> None:
    """Unpack a wheel.

    Args:
        wheel: the file.
        folder: folder to make.

    Raises:
        UserError: it is not a wheel that can be read.
    """
    try:
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(folder)
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{wheel}: not a wheel that can be read ({error})") from error
