"""Public names are documented for those who call them, and the examples in the documentation are right.

Ruff checks the form of docstrings; that every argument and result is described is checked here.
"""

import ast
import doctest
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for folder in ("codec", "data_prep", "eval") for path in (ROOT / folder).rglob("*.py"))
HOOKS = re.compile(r"on_\w+|setup|teardown|configure_optimizers|\w+_step|\w+_dataloader|state_dict|load_state_dict")
"""Methods that Lightning and PyTorch call; their own documentation has the arguments."""


def public(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.ClassDef]]:
    """Yield the public functions, classes and methods of a module with their names."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            for inner in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(inner, ast.FunctionDef) and not inner.name.startswith("_"):
                    yield f"{node.name}.{inner.name}", inner


def missing(name: str, node: ast.FunctionDef | ast.ClassDef) -> list[str]:
    """List what a docstring lacks: itself, arguments, or the section of results."""
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    if any("overload" in each for each in decorators):
        return []
    doc = ast.get_docstring(node)
    if not doc:
        return ["docstring"]
    if re.search(rf"[Ss]ee :meth:`[\w.]+\.{node.name}`", doc):  # the protocol that the method belongs to says it
        return []
    attribute = any("property" in each or each.endswith(".setter") for each in decorators)
    if isinstance(node, ast.ClassDef) or attribute or ("." in name and HOOKS.fullmatch(node.name)):
        return []
    arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
    arguments += [each for each in (node.args.vararg, node.args.kwarg) if each]
    section = doc.partition("Args:")[2]
    names = [each.arg for each in arguments if each.arg not in ("self", "cls") and not each.arg.startswith("_")]
    lacks = [each for each in names if not re.search(rf"(^|[\s*,]){each}\b[^\n]*:", section, re.MULTILINE)]
    returns = ast.unparse(node.returns) if node.returns else "None"
    if returns not in ("None", "NoReturn") and not re.search(r"^(Returns|Yields):", doc, re.MULTILINE):
        lacks.append("Returns")
    return lacks


def test_public_names_are_documented_with_arguments_and_results() -> None:
    lacks = {
        f"{path.relative_to(ROOT)}: {name}": missing(name, node)
        for path in FILES
        for name, node in public(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert len(lacks) > 1000
    assert {name: parts for name, parts in lacks.items() if parts} == {}


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if ">>> " in path.read_text(encoding="utf-8")],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_examples_are_right(path: Path) -> None:
    module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    failed, tried = doctest.testmod(module)
    assert tried and not failed
