"""Import PyTorch for inference, without the registrations that only its compiler and its meta tensors need."""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

_POSTPONED = ("torch._meta_registrations", "torch.distributed._meta_registrations")
"""Modules that PyTorch imports for what they do, not for names. With what they import, they take a third of the time of
``import torch`` (measured)."""


def import_torch(threads: int) -> None:
    """Import PyTorch, and set the number of its CPU threads.

    Shapes of meta tensors are then unknown to operations that PyTorch implements in Python, so that nothing can be
    compiled or exported in this process. Where PyTorch is imported already, it is complete and stays so.

    Args:
        threads: threads of one operation, such as a matrix product
    """
    finder = _Postponing()
    sys.meta_path.insert(0, finder)
    try:
        import torch
    finally:
        sys.meta_path.remove(finder)
    torch.set_num_threads(threads)


class _Postponing(MetaPathFinder):
    """Finds empty modules in place of those that are postponed."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        found = PathFinder.find_spec(name, path, target) if name in _POSTPONED else None
        return ModuleSpec(name, _EmptyModule(found), origin=found.origin) if found else None


class _EmptyModule(Loader):
    """Loads an empty module, which becomes the real one when a name in it is used."""

    def __init__(self, real: ModuleSpec) -> None:
        self._real = real

    def exec_module(self, module: ModuleType) -> None:
        def load(name: str) -> Any:
            if name.startswith("__"):  # what the import system and inspect look for
                raise AttributeError(name)
            del module.__dict__["__getattr__"]
            assert self._real.loader is not None
            self._real.loader.exec_module(module)
            return getattr(module, name)

        module.__dict__["__getattr__"] = load
