"""Pictures of a page as a browser shows it: ``python -m eval.pages.screenshot PAGE.html OUT.png``.

The browser is one that is installed (Chromium or Chrome), driven through Playwright; nothing is downloaded, and the
page gets no network.
"""

import argparse
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from codec.errors import UserError

if TYPE_CHECKING:
    from playwright.sync_api import Browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def browser_path() -> str | None:
    """Of the first browser that is installed."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator["Browser"]:
    """A browser without a window. Raises :class:`UserError` where Playwright or the browser is missing."""
    path = browser_path()
    if path is None:
        raise UserError(f"no browser found; install one of {', '.join(BROWSERS)}")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise UserError("pictures of pages need Playwright; pip install playwright") from error
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=path, args=["--autoplay-policy=no-user-gesture-required", "--hide-scrollbars"]
        )
        try:
            yield opened
        finally:
            opened.close()


def screenshot(page: Path, out: Path, *, dark: bool = False, width: int = 1200, height: int | None = None) -> None:
    """Writes a PNG of ``page``: all of it, or the upper ``height`` pixels."""
    if not page.is_file():
        raise UserError(f"{page}: no such file")
    with browser() as opened:
        view = opened.new_page(
            viewport={"width": width, "height": height or 900}, color_scheme="dark" if dark else "light", offline=True
        )
        view.goto(page.resolve().as_uri())
        view.screenshot(path=out, full_page=height is None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.pages.screenshot", description="A picture of a page of HTML.")
    parser.add_argument("page", type=Path, metavar="PAGE.html")
    parser.add_argument("out", type=Path, metavar="OUT.png")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--width", type=int, default=1200, help="in pixels (%(default)s)")
    parser.add_argument("--height", type=int, help="the upper part alone (default: the whole page)")
    arguments = parser.parse_args()
    try:
        screenshot(arguments.page, arguments.out, dark=arguments.dark, width=arguments.width, height=arguments.height)
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
