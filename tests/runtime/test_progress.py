"""Progress on a terminal and in a log."""

import contextlib
import os
import re
import sys
import time

import pytest

from codec.runtime import messages, progress
from codec.runtime.progress import ProgressBar

DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")


def shares(log: str) -> list[int]:
    """The per cent of each line, all of which are dated."""
    lines = log.splitlines()
    assert all(DATE.match(line) for line in lines) and "\r" not in log, log
    return [int(re.findall(r"(\d+)%", line)[0]) for line in lines]


def test_a_log_has_a_line_for_each_tenth_and_one_at_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOG_SHORTEST_S", 0)
    for _ in ProgressBar(range(1000), desc="count", mininterval=0, miniters=1):
        pass
    assert shares(capsys.readouterr().err) == [*range(10, 101, 10), 100]


def test_a_log_has_a_line_for_each_interval_however_little_is_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "LOG_SHORTEST_S", 0)
    monkeypatch.setattr(progress, "LOG_INTERVAL_S", 0.05)
    with ProgressBar(total=100_000, desc="slow", mininterval=0, miniters=1) as bar:
        for _ in range(40):
            time.sleep(0.01)
            bar.update()
    assert 2 < len(shares(capsys.readouterr().err)) < 20


def test_short_work_leaves_one_line_and_a_bar_that_vanishes_none(capsys: pytest.CaptureFixture[str]) -> None:
    for leave, expected in ((True, [100]), (False, [])):
        for _ in ProgressBar(range(50), desc="count", leave=leave):
            pass
        assert shares(capsys.readouterr().err) == expected


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    main, terminal = os.openpty()
    with open(terminal, "w") as shown:
        monkeypatch.setattr(sys, "stderr", shown)
        for _ in ProgressBar(range(50), desc="count", ncols=60, nrows=20):
            pass
        monkeypatch.undo()
    text = b""
    with contextlib.suppress(OSError):  # the end of what a terminal got
        while some := os.read(main, 10_000):
            text += some
    os.close(main)
    assert "\rcount: 100%|███" in text.decode() and not DATE.search(text.decode())


def test_a_quiet_process_shows_warnings_alone(capsys: pytest.CaptureFixture[str]) -> None:
    messages.set_quiet(True)
    try:
        for _ in ProgressBar(range(50), desc="count"):
            pass
        messages.say("progress")
        messages.warn("warning: something")
    finally:
        messages.set_quiet(False)
    shown = capsys.readouterr()
    assert shown.err == "" and DATE.sub("", shown.out) == "warning: something\n"
