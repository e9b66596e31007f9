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

    def texts(self, width: int, kept: int = 1) -> list[str]:
        """Like :meth:`text`, but as several tables where lines would be longer than ``width``; all have the first
        ``kept`` columns."""
        lines = [self.header, *self.rows]
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
        rule = ["---", *("---:" for _ in self.header[1:])]
        return "\n".join("| " + " | ".join(line) + " |" for line in (self.header, rule, *self.rows))
