"""Tables of text, for the screen and for Markdown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    title: str
    note: str
    header: list[str]
    rows: list[list[str]]

    def text(self) -> str:
        """Columns aligned: the first to the left, the others to the right."""
        lines = [self.header, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.header))]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if column else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(line, widths))
            ).rstrip()
            for line in lines
        )

    def markdown(self) -> str:
        rule = ["---", *("---:" for _ in self.header[1:])]
        return "\n".join("| " + " | ".join(line) + " |" for line in (self.header, rule, *self.rows))
