"""Sounds that become shards of tokens."""

from pathlib import Path

import pytest

from tests.helpers.token_shards import make_sound


@pytest.fixture
def sounds(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_sound(Path("in/a.wav"), 9001)
    make_sound(Path("in/x/b.c.flac"), 30011, 44100, 2)
    make_sound(Path("in/x/y/d%é.wav"), 5000, 8000, 3)
    make_sound(Path("in/x/e.wav"), 0)
    make_sound(Path("in/z.wav"), 1)
    return tmp_path
