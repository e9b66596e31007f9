"""Commands, code and links in the README and the documents work as they stand there."""

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from codec.cli import build_parser, main
from tests.helpers.tiny import TINY

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").rglob("*.md"))),
]
QUICKER = {
    "prepare": ["-j", "1"],
    "train": [*TINY, "--train.steps=4", "--train.validate_every=2"],
    "evaluate": ["-j", "1", "--clips", "2"],
}


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """Return the words of every ``codec …`` in shell blocks, without comments."""
    parts = [part for block in blocks("sh", text) for line in block.splitlines() for part in line.split("&&")]
    words = [shlex.split(part, comments=True) for part in parts]
    return [[Path(each[0]).name, *each[1:]][1:] for each in words if each and Path(each[0]).name == "codec"]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_that_are_shown_exist(document):
    for words in commands((ROOT / document).read_text(encoding="utf-8")):
        arguments, rest = build_parser().parse_known_args(words)
        assert arguments.command == words[0] and (not rest or words[0] == "train")


@pytest.mark.usefixtures("memory_measured_once")
def test_the_commands_of_the_tutorial_lead_from_audio_to_an_evaluated_codec(corpus, tmp_path, monkeypatch, capsys):
    tutorial = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    shutil.copytree(corpus, tmp_path / "audio")
    shutil.copy(next(corpus.rglob("*.flac")), tmp_path / "audio/hello.flac")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    typed = commands(tutorial.partition("## 5.")[0])  # the tests of comparison and search run the rest
    assert [words for words in commands(README) if words[0] != "quickstart"] == [
        words for words in typed if words[0] in ("prepare", "train", "evaluate", "encode")
    ]
    assert [words[0] for words in typed] == [
        *("prepare", "train", "health", "evaluate", "report"),
        *("encode", "decode", "info", "tokens", "models", "export"),
    ]
    for words in typed:
        expanded = [str(Path(word).expanduser()) if word.startswith("~") else word for word in words]
        with pytest.raises(SystemExit) as ended:
            main([*expanded, *QUICKER.get(words[0], [])])
        assert ended.value.code == 0, capsys.readouterr().err
    assert (tmp_path / "runs/a/evaluation/report.html").is_file() and "hello.nac" in capsys.readouterr().out
    decoded = {path.with_suffix("") for path in (tmp_path / "wav").rglob("*.wav")}
    assert {path.relative_to(tmp_path / "wav") for path in decoded} == {
        path.relative_to(tmp_path / "audio").with_suffix("") for path in (tmp_path / "audio").rglob("*.flac")
    }


def run_python(document: str) -> dict[str, Any]:
    """Run what a document shows, one part after the other."""
    names: dict[str, Any] = {}
    for snippet in blocks("python", (ROOT / document).read_text(encoding="utf-8")):
        exec(snippet, names)
    return names


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_python("README.md")
    assert names["decoded"].shape == names["wave"].shape and names["encoded"].codes.shape[:2] == (2, 6)
    assert (tmp_path / "a.nac").is_file()


def test_the_python_of_the_document_runs(tmp_path, monkeypatch):
    import eval.systems.torchaudio_compat  # noqa: F401  # transformers imports torchaudio where it is installed

    monkeypatch.chdir(tmp_path)
    names = run_python("docs/python.md")
    wave, decoded = names["wave"], names["decoded"]
    assert decoded.shape == names["nearly"].shape == wave.shape and names["encoded"].codes.shape[:2] == (2, 6)
    assert names["quantized"].latents.shape == names["latents"].latents.shape
    assert names["part"].shape == (2, 4410)
    assert [block.shape for block in names["heard"]] == [(1, 0)] + 4 * [(1, 320)]
    assert names["codes"].shape == (1, 2, 6, 51) and names["values"].shape == (2, 1, 16000)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_and_folders_that_are_named_are_there(document):
    path = ROOT / document
    text = path.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    assert all((path.parent / link).exists() for link in links), links
    folders = re.findall(r"^\| `(\w+/)` \|", text, re.MULTILINE) if document == "docs/architecture.md" else []
    assert all((ROOT / folder).is_dir() for folder in folders), folders


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 90


def test_the_test_command_is_the_one_that_ci_runs():
    marked = README.partition("<!-- tests -->")[2]
    assert "pytest" in blocks("sh", marked)[0] and "<!-- tests -->" in (ROOT / ".ci/run").read_text()
