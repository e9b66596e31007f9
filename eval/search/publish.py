"""Everything that a search shows: tables, a picture, a page. Each file is written whole; ``front.json`` last."""

import json
from pathlib import Path

from codec.runtime.atomic_files import write_text
from eval.pages.search_page import write_search_page
from eval.search.figure import draw
from eval.search.results import SearchResult
from eval.search.tables import as_csv, markdown

JSON = "front.json"


def publish(result: SearchResult, out: Path, command: str, *, picture: bool) -> None:
    """``command``: makes the search again, or goes on with it. The ``picture`` takes a second, which is much where a
    candidate takes few."""
    if picture:
        draw(result, out / "front.png")
    write_search_page(result, out / "front.html", command)
    write_text(out / "front.md", markdown(result, command) + "\n![front](front.png)\n")
    write_text(out / "front.csv", as_csv(result))
    write_text(out / JSON, json.dumps(result.to_dict(), indent=1, default=str) + "\n")
