"""The documents as one static site: every link leads somewhere, and a broken one is found."""

import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "docs/mkdocs.yml").read_text().partition("nav:")[2]
    pages = {
        path for pattern in runpy.run_path(str(ROOT / "docs/build_site.py"))["PAGES"] for path in ROOT.glob(pattern)
    }
    assert len(pages) > 30
    assert [
        page for page in pages if not re.search(rf"(- | ){re.escape(str(page.relative_to(ROOT)))}\n", navigation)
    ] == []


@pytest.mark.long
def test_the_site_is_built_and_loads_nothing_from_elsewhere(tmp_path):
    pytest.importorskip("mkdocs")
    subprocess.run([sys.executable, "docs/build_site.py", "--out", str(tmp_path / "site")], cwd=ROOT, check=True)
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 30 and "AudioCodec" in (tmp_path / "site/docs/python_reference/index.html").read_text()
    for page in pages:
        loaded = re.findall(
            r"<(?:script|img|link rel=.stylesheet.)[^>]*(?:src|href)=.(https?:[^\"' >]+)", page.read_text()
        )
        assert not loaded, (page, loaded)


@pytest.mark.long
def test_a_link_that_leads_nowhere_is_an_error(tmp_path):
    pytest.importorskip("mkdocs")
    for name in ("docs", "codec/pretrained", "older_models", "training", "findings"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.safetensors", "*.npz", "*.pt"))
    for path in ROOT.glob("*.md"):
        shutil.copy(path, tmp_path)
    (tmp_path / "docs/python_reference.md").write_text("# Python\n\n[nowhere](files.md#no-such-heading)\n")
    done = subprocess.run([sys.executable, "docs/build_site.py", "--out", "site"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 1 and b"no-such-heading" in done.stderr + done.stdout
