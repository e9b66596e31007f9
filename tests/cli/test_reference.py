"""The generated references are complete and up to date."""

import re
from pathlib import Path

from codec.cli import build_parser
from codec.cli.reference import command_reference

ROOT = Path(__file__).parents[2]


def test_the_page_of_commands_is_as_generated_and_has_every_option() -> None:
    page = command_reference()
    assert (ROOT / "docs/commands.md").read_text(encoding="utf-8") == page
    sections = dict(re.findall(r"^## codec ([^\n]+)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    (commands,) = build_parser()._subparsers._group_actions  # type: ignore[union-attr]
    assert set(commands.choices) <= set(sections)  # type: ignore[arg-type]
    for name, parser in commands.choices.items():  # type: ignore[union-attr]
        options = {option for action in parser._actions for option in action.option_strings} - {"-h", "--help"}
        assert all(option in sections[name] for option in options), name
