"""Pages of one HTML file that loads nothing from anywhere: their common template.

A page is a template that extends ``base.html.j2``, which brings the style (light or dark, after the reader's system or
a button), tables that sort (class ``sortable``; ``parts.html.j2`` makes one of a
:class:`~eval.pages.text_table.Table`), and the blocks ``style``, ``head``, ``main``, ``data`` and ``script``.
"""

import json
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from codec.runtime.atomic_files import write_text
from codec.runtime.text import format_duration


def write_page(path: Path, template: str, **values: Any) -> None:
    """Render a template of ``eval/pages/templates`` to a file, whole or not at all.

    Args:
        path: path of the file.
        template: file name of the template.
        values: variables of the template. ``base.html.j2`` needs ``title``, ``kind`` (of page, one word) and ``made``
            (ISO date and time, UTC).

    Raises:
        UserError: the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("eval.pages", "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": format_duration, "value": _format_value}
    environment.globals["version"] = version("lathe-codec")
    html = environment.get_template(template).render(**values)
    write_text(path, html.encode("utf-8", "replace").decode())  # names of files need not be valid UTF-8


def _format_value(value: float, name: str) -> str:
    from eval.evaluation.formatting import format_value  # not at module level: a page of no metrics needs no extra

    return format_value(name, value)


@dataclass(frozen=True)
class Tile:
    """A number in large type."""

    label: str
    value: str
    note: str


def as_json(value: Any) -> Markup:
    """Format a value for an element ``<script type="application/json">``.

    Args:
        value: value to serialise.

    Returns:
        JSON that cannot end the element.
    """
    return Markup(json.dumps(value).replace("<", "\\u003c"))
