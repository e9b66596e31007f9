"""Listening tests: export from a report, a listener in a real browser, and the answers read back."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from codec.cli import main
from codec.errors import UserError
from eval.listening.answers import read_answers
from eval.listening.export import export_test
from eval.listening.sounds import LOW_ANCHOR, Sound, make_anchors, read_clips
from eval.pages.players import ORIGINAL
from tests.helpers.browser import browser
from tests.helpers.example_report import write_example_report


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_example_report(folder)
    return folder


def answered(test: Path, out: Path, name: str, rate) -> Path:
    """A file of answers in which ``rate(system)`` gives the rating of each version, or whether X was known."""
    key = json.loads((test / "key.json").read_text())
    page = (test / "listen.html").read_text()
    content = json.loads(page.split('id="test">')[1].split("</script>")[0])
    system = {code: entry["system"] for code, entry in key["stimuli"].items()}
    trials = []
    for trial in content["trials"]:
        codes = [one["code"] for one in trial["stimuli"]]
        if key["kind"] == "mushra":
            trials.append({"ratings": {code: rate(system[code]) for code in codes}})
        else:
            trials.append({"codes": codes, "right": rate(next(s for c in codes if (s := system[c]) != ORIGINAL))})
    (out / f"{name}.json").write_text(json.dumps({"test": key["test"], "listener": name, "trials": trials}))
    return out / f"{name}.json"


def test_anchors_are_those_of_the_recommendation():
    """BS.1534-3: 0.1 dB of ripple up to the cut-off, 25 dB half a kilohertz above and 50 dB a kilohertz above."""
    impulse = np.zeros((1, 48000), np.float32)
    impulse[0, 24000] = 1
    for anchor, cutoff in zip(make_anchors(Sound(ORIGINAL, impulse, 48000)), (3500, 7000)):
        levels = 20 * np.log10(np.abs(np.fft.rfft(anchor.samples[0])) + 1e-9)  # a bin for each Hz
        assert np.abs(levels[20:cutoff]).max() < 0.1
        assert levels[cutoff + 500 :].max() < -25 and levels[cutoff + 1000 :].max() < -50
        assert np.argmax(np.abs(anchor.samples[0])) == 24000


def test_ratings_are_summarised_and_unreliable_listeners_left_out(report, tmp_path, capsys):
    export_test(report, tmp_path / "test", "mushra")
    html = (tmp_path / "test/listen.html").read_text()
    assert "Opus" not in html and "codebooks" not in html and "Anchor" not in html
    with pytest.raises(UserError, match="holds a listening test"):
        export_test(report, tmp_path / "test", "abx")

    def careful(shift: float):
        return lambda system: 100 if system == ORIGINAL else 20 if system == LOW_ANCHOR else 60 + shift

    files = [answered(tmp_path / "test", tmp_path, f"L{shift}", careful(shift)) for shift in (-6, 0, 3, 7)]
    files += [answered(tmp_path / "test", tmp_path, "deaf", lambda system: 95 if system != ORIGINAL else 40)]
    result = read_answers(tmp_path / "test", files)
    assert result.listeners == 4 and list(result.left_out) == ["deaf"]
    opinions = {one.system: one for one in result.systems}
    assert result.systems[0].system == ORIGINAL and result.systems[-1].system == LOW_ANCHOR
    opus = opinions["Opus 8 · 7.20 kbit/s"]
    half = 3.18245 * np.std([54, 60, 63, 67], ddof=1) / 2  # the t interval over four listeners
    assert (opus.mean, opus.low, opus.high) == pytest.approx((61, 61 - half, 61 + half), abs=1e-3)
    assert opus.median == 61.5 and opus.listeners == 4
    with pytest.raises(SystemExit, match="0"):
        main(["listen", str(tmp_path / "test"), "--answers", *map(str, files)])
    assert "deaf is left out" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["listen", str(tmp_path / "test"), "--json", "--answers", *map(str, files)])
    assert json.loads(capsys.readouterr().out)["listeners"] == 4

    with pytest.raises(UserError, match="read before"):
        read_answers(tmp_path / "test", [files[0], files[0]])
    export_test(report, tmp_path / "other", "mushra", ["Opus"], 1)
    with pytest.raises(UserError, match="another listening test"):
        read_answers(tmp_path / "other", files)
    with pytest.raises(UserError, match="no system called"):
        export_test(report, tmp_path / "third", "mushra", ["Speex"])


def test_right_answers_are_tested_against_guessing(report, tmp_path):
    export_test(report, tmp_path / "test", "abx", ["Opus", "3 codebooks"], 2)
    turns = iter(range(10_000))

    def hears(system: str) -> bool:
        return not system.startswith("Opus") or next(turns) % 2 == 0

    result = read_answers(tmp_path / "test", [answered(tmp_path / "test", tmp_path, name, hears) for name in "ab"])
    heard, guessed = result.systems
    assert heard.answers == 16 and heard.p == pytest.approx(0.5**16) and heard.p_holm == pytest.approx(2 * 0.5**16)
    assert heard.high == 100 and heard.low == pytest.approx(100 * 0.025 ** (1 / 16))
    assert guessed.mean == 50
    assert guessed.p == pytest.approx(sum(math.comb(16, k) for k in range(8, 17)) / 2**16)
    edited = json.loads((tmp_path / "a.json").read_text())
    edited["trials"][0]["codes"].pop()
    edited["trials"][1]["codes"].clear()
    (tmp_path / "a.json").write_text(json.dumps(edited))
    with pytest.raises(UserError, match=r"a\.json"):
        read_answers(tmp_path / "test", [tmp_path / "a.json"])
    with pytest.raises(UserError) as missing:
        read_answers(tmp_path / "test", [tmp_path / "nowhere.json"])
    assert str(missing.value).count("nowhere.json") == 1


def test_a_listener_answers_in_a_browser_without_a_network(report, tmp_path):
    clips = read_clips(report / "report.html")
    assert all(clip.sounds[0].label == ORIGINAL for clip in clips)
    page_path = export_test(report, tmp_path / "test", "mushra", ["Opus"], 2)
    with browser() as opened:
        context = opened.new_context(offline=True, viewport={"width": 390, "height": 800}, accept_downloads=True)
        page = context.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(page_path.as_uri())
        page.locator("#listener").fill("Ann")
        page.locator("#begin").click()
        for trial in (1, 2):
            page.wait_for_function(f"document.getElementById('number').textContent === '{trial}'")
            page.wait_for_function("Number(document.getElementById('position').max) > 0.5")
            page.locator("#versions button").nth(1).click()
            page.wait_for_function("document.getElementById('play').textContent === 'Pause'")
            page.keyboard.press("Space")
            assert page.locator("#play").text_content() == "Play"
            assert page.locator("#next").is_disabled()
            sliders = page.locator("#versions input")
            assert sliders.count() == 3  # the hidden reference, the system and an anchor
            for place in range(3):
                sliders.nth(place).fill(str(100 - 10 * place))
            if trial == 1:  # a reload goes on with the same trial
                page.locator("#next").click()
                page.reload()
                assert page.locator("#begin").text_content() == "Continue"
                page.locator("#begin").click()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        page.locator("#next").click()
        with page.expect_download() as download:
            page.locator("#download").click()
        download.value.save_as(tmp_path / "ann.json")
        assert faults == []
        context.close()
    answers = json.loads((tmp_path / "ann.json").read_text())
    assert answers["listener"] == "Ann" and [len(one["ratings"]) for one in answers["trials"]] == [3, 3]
    result = read_answers(tmp_path / "test", [tmp_path / "ann.json"])
    assert result.left_out or {one.answers for one in result.systems} == {2}
