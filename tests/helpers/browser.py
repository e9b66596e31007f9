"""A browser that is installed, driven through Playwright; nothing is downloaded, and pages get no network."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def browser_path() -> str | None:
    """The first browser that is installed."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser without a window; the test is skipped if none is installed."""
    path = browser_path()
    if path is None:
        pytest.skip("no browser is installed")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=path, args=["--autoplay-policy=no-user-gesture-required", "--hide-scrollbars"]
        )
        try:
            yield opened
        finally:
            opened.close()
