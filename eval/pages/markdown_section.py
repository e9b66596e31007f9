"""Sections of Markdown pages that several commands write."""

import re
from pathlib import Path

from codec.runtime.atomic_files import write_text


def write_section(page: Path, title: str, text: str) -> None:
    r"""Replace a section of a page, or append it.

    Args:
        page: path of the page; if it is missing, it is made.
        title: heading of the section, on the second level.
        text: content of the section in Markdown, without headings of the first and second level.

    Raises:
        UserError: the page cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = Path(folder, "a.md")
    ...     write_section(page, "One", "1")
    ...     write_section(page, "Two", "2")
    ...     write_section(page, "One", "one")
    ...     page.read_text()
    '## One\n\none\n\n## Two\n\n2\n'
    """
    before = page.read_text(encoding="utf-8") if page.is_file() else ""
    parts = re.split(r"(?m)^(?=## )", before)
    section = f"## {title}\n\n{text.strip()}\n"
    at = next((index for index, part in enumerate(parts) if part.startswith(f"## {title}\n")), None)
    if at is None:
        parts.append(section)
    else:
        parts[at] = section
    write_text(page, "\n\n".join(part.strip() for part in parts if part.strip()) + "\n")
