"""Tables of text, for the screen, for Markdown and for spreadsheets. Names in them may hold any character."""

import re
from dataclasses import dataclass
from typing import Any

from codec.runtime.text import escape_invisible, markdown_text

_FORMULA = re.compile(r"[=+\-@\t\r]")


def csv_cell(value: Any) -> Any:
    """Mark text that a spreadsheet would compute as text, by an apostrophe in front.

    Args:
        value: value of a cell.

    Returns:
        The value; other text and numbers as they are.

    >>> csv_cell("=1+1"), csv_cell(-1.5)
    ("'=1+1", -1.5)
    """
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


@dataclass(frozen=True)
class Table:
    """A table of text.

    >>> print(Table("", "", ["name", "kbps"], [["Opus", "12"]]).text())
    name  kbps
    Opus    12
    """

    title: str
    note: str
    """A paragraph about the table."""
    header: list[str]
    rows: list[list[str]]
    """Rows with the same number of cells as the header."""

    def text(self) -> str:
        """Format the table for the screen: the first column to the left, the others to the right.

        Returns:
            Lines of text, without title and note.
        """
        lines = [[escape_invisible(cell) for cell in line] for line in (self.header, *self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths))
            ).rstrip()
            for line in lines
        )

    def texts(self, width: int, kept: int = 1) -> list[str]:
        """Format the table like :meth:`text`, but as several tables if lines would be too long.

        Args:
            width: number of characters of a line.
            kept: number of first columns that all of the tables have.

        Returns:
            The tables, each with further columns.
        """
        lines = [[escape_invisible(cell) for cell in line] for line in (self.header, *self.rows)]
        widths = [max(len(line[column]) for line in lines) + 2 for column in range(len(self.header))]
        parts, used = [list(range(kept))], sum(widths[:kept])
        for column in range(kept, len(widths)):
            if used + widths[column] > width + 2 and len(parts[-1]) > kept:
                parts, used = [*parts, list(range(kept))], sum(widths[:kept])
            parts[-1].append(column)
            used += widths[column]
        tables = [[[line[column] for column in part] for line in lines] for part in parts]
        return [Table(self.title, self.note, head, rows).text() for head, *rows in tables]

    def markdown(self) -> str:
        """Format the table as Markdown.

        Returns:
            Lines of Markdown, without title and note.
        """
        lines = [[markdown_text(cell) for cell in line] for line in (self.header, *self.rows)]
        rule = ["---", *("---:" for _ in self.header[1:])]
        return "\n".join("| " + " | ".join(line) + " |" for line in (lines[0], rule, *lines[1:]))
