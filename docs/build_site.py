"""Build the documents as one static site: ``python docs/build_site.py --out site``.

The pages are the Markdown files of the repository, under their paths in it, so that links mean the same in a checkout
and on the site. A link that leads nowhere is an error. Links to other files of the repository are followed, too: these
files become part of the site.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("*.md", "docs/**/*.md", "codec/pretrained/*/*.md", "older_models/**/*.md", "training/*/*.md", "findings/*.md")
_LINK = re.compile(r"\]\(([^)#\s:]+)(?=[)#])")


def build(out: Path) -> None:
    """Build the site.

    Args:
        out: folder for it; what is there is replaced.

    Raises:
        SystemExit: a link leads nowhere, or MkDocs is not installed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gather(folder / "pages")
        config = (ROOT / "docs/mkdocs.yml").read_text(encoding="utf-8")
        paths = f"docs_dir: {folder / 'pages'}\nsite_dir: {out.resolve()}\n"
        (folder / "mkdocs.yml").write_text(config + paths, encoding="utf-8")
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(folder / "mkdocs.yml")]
        # from here, where mkdocstrings finds the package
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        faults = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
        sys.exit("\n".join([*faults, "the site was not built; pip install '.[docs]' brings MkDocs"]))


def gather(folder: Path) -> None:
    """Copy all pages, and the files that they link to.

    Args:
        folder: folder to make.
    """
    pages = {path for pattern in PAGES for path in ROOT.glob(pattern)}
    linked = {
        (page.parent / link).resolve()
        for page in pages
        for link in _LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in link
    }
    for path in sorted(pages | {ROOT / "docs/site.css"} | {path for path in linked if path.is_file()}):
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the documents as one static site.")
    parser.add_argument("--out", type=Path, default=Path("site"), help="folder for it (default: %(default)s)")
    build(parser.parse_args().out)
