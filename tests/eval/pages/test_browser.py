"""Pages in a real browser without a network: playing, switching, sorting, light and dark, and the combined page."""

import json
import re
import shutil
from pathlib import Path

import pytest

from codec.cli import main
from codec.errors import UserError
from eval.evaluation.job import EvaluationOptions
from eval.evaluation.run import evaluate
from eval.pages.combined_page import write_combined_page
from eval.systems.baselines import ReferenceSystems
from eval.systems.operating_point import OperatingPoint
from tests.helpers.browser import browser
from tests.helpers.packed_data import pack_tones, save_small_run

LISTEN = """
window.gains = [];
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...rest) {
  if (target instanceof AudioDestinationNode) {
    window.meter ??= new AnalyserNode(this.context);
    window.gains.push(this);
    connect.call(this, window.meter);
  }
  return connect.call(this, target, ...rest);
};
"""
"""Hears all that goes to the loudspeaker."""

STATE = """
async () => {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  const player = document.querySelector(".ab:not([hidden])");
  const samples = new Float32Array(window.meter.fftSize);
  window.meter.getFloatTimeDomainData(samples);
  return {
    clock: window.meter.context.currentTime, position: Number(player.querySelector(".position").value),
    level: Math.max(...samples.map(Math.abs)), gains: window.gains.slice(-4).map((node) => node.gain.value),
    wanted: [...player.querySelectorAll("audio")].map((audio) => Number(audio.dataset.gain)),
    playing: player.classList.contains("playing"),
  };
}
"""


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory) -> Path:
    """The output of a real evaluation of a small untrained model on a few made sounds."""
    folder = tmp_path_factory.mktemp("pages")
    pack_tones(folder / "data", "train", [("speech", "t", 1.0, -20.0)])
    clips = [("speech", name, 2.5, -20.0) for name in "abcde"] + [("music", name, 2.0, -20.0) for name in "fg"]
    pack_tones(folder / "data", "test", clips)
    target = {"domains": {"speech": 1.0}, "level_dbfs": [-40.0, 0.0]}
    save_small_run(folder / "run", target, info={"step": 7})
    points = [OperatingPoint(codebooks=4), OperatingPoint(codebooks=2)]
    evaluate(
        folder / "run",
        folder / "data",
        EvaluationOptions(points=points, references=ReferenceSystems(opus=[12.0]), workers=1),
    )
    return folder / "run" / "evaluation"


@pytest.fixture(scope="module")
def chromium():
    with browser() as opened:
        yield opened


@pytest.fixture
def open_page(chromium):
    """Opens a page in a context of its own; at the end, nothing may have been asked for and nothing may have failed."""
    contexts, faults = [], []

    def opener(path: Path, scheme: str = "light"):
        context = chromium.new_context(offline=True, color_scheme=scheme, viewport={"width": 1200, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked(request.url, path))
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.add_init_script(LISTEN)
        page.goto(path.as_uri())
        return page

    def asked(url: str, path: Path) -> None:
        if url != path.as_uri() and not url.startswith("data:"):
            faults.append(f"asked for {url}")

    yield opener
    for context in contexts:
        context.close()
    assert faults == []


def test_audio_plays_and_switching_keeps_position_and_loudness(evaluated, open_page):
    page = open_page(evaluated / "report.html")
    player = page.locator(".ab:not([hidden])").first
    names = player.locator(".switch button").all_text_contents()
    assert [re.sub(r" · \d+\.\d\d kbit/s$", "", name) for name in names] == [
        "Original",
        "4 codebooks",
        "Opus 12",
        "2 codebooks",
    ]
    assert all("kbit/s" in name for name in names[1:])
    player.locator(".play").click()
    page.wait_for_function("window.meter && window.meter.context.currentTime > 0.3")
    before = page.evaluate(STATE)
    assert before["playing"] and before["position"] > 0 and before["level"] > 1e-3
    assert before["gains"] == pytest.approx([0, before["wanted"][1], 0, 0], abs=1e-3)

    player.get_by_role("button", name="Original").click()
    page.wait_for_function("time => window.meter.context.currentTime > time + 0.2", arg=before["clock"])
    after = page.evaluate(STATE)
    assert after["playing"] and after["clock"] > before["clock"] and after["position"] > before["position"]
    assert after["position"] - before["position"] == pytest.approx(after["clock"] - before["clock"], abs=0.03)
    assert after["gains"] == pytest.approx([after["wanted"][0], 0, 0, 0], abs=1e-3)

    page.keyboard.press("3")
    assert player.locator(".switch button[aria-pressed=true]").text_content() == names[2]
    player.get_by_role("button", name="2 codebooks").click()
    if page.evaluate(STATE)["playing"]:  # on a slow machine the clip may have ended
        page.keyboard.press("Space")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    for playing in (True, False):  # the space bar does not press the button that has the focus
        page.keyboard.press("Space")
        page.wait_for_function("playing => !!document.querySelector('.playing') === playing", arg=playing)
    assert player.locator(".switch button[aria-pressed=true]").text_content() == names[3]
    stopped = page.evaluate(STATE)["position"]
    page.keyboard.press("ArrowLeft")
    assert page.evaluate(STATE)["position"] == pytest.approx(max(0.0, stopped - 1), abs=0.02)


def test_the_metric_chooses_the_clips_and_the_curves(evaluated, open_page):
    page = open_page(evaluated / "report.html")
    seen = set()
    for option in page.locator("#view option").all():
        page.locator("#view").select_option(option.get_attribute("value"))
        shown = [int(entry.get_attribute("data-clip")) for entry in page.locator(".ab:not([hidden])").all()]
        assert shown == json.loads(option.get_attribute("data-order"))
        ranks = json.loads(option.get_attribute("data-ranks"))
        assert page.locator(".ab:not([hidden]) .rank").all_text_contents() == [ranks[str(clip)] for clip in shown]
        assert all(
            page.locator(".ab:not([hidden]) img").evaluate_all("all => all.map((image) => image.naturalWidth > 0)")
        )
        seen.add(tuple(shown))
    assert len(seen) > 2
    for name in ("si_sdr", "mel"):
        page.locator("#curve-metric").select_option(name)
        figures = page.locator("#rates figure:visible")
        assert figures.count() == 2  # in and out of distribution
        assert set(figures.evaluate_all("all => all.map((figure) => figure.dataset.metric)")) == {name}


def test_a_table_sorts_by_click_and_by_key(evaluated, open_page):
    page = open_page(evaluated / "report.html")
    table = page.locator("table.clips")

    def column() -> list[float]:
        cells = table.locator("tbody tr td:nth-child(7)")
        return [float(text) for text in cells.evaluate_all("all => all.map((cell) => cell.dataset.v)")]

    head = table.locator("thead th:nth-child(7)")
    assert column() != sorted(column())
    head.get_by_role("button").click()
    assert column() == sorted(column()) and head.get_attribute("aria-sort") == "ascending"
    head.get_by_role("button").press("Enter")
    assert column() == sorted(column(), reverse=True) and head.get_attribute("aria-sort") == "descending"
    assert table.locator("th[aria-sort]").count() == 1


def test_light_or_dark_follows_the_system_or_the_button(evaluated, open_page):
    def colours(page) -> list[str]:
        body, line = page.locator("body"), page.locator("#rates figure:visible svg path[style*='--series-1']").first
        return [
            body.evaluate("element => getComputedStyle(element).backgroundColor"),
            line.evaluate("element => getComputedStyle(element).stroke"),
        ]

    light, dark = (colours(open_page(evaluated / "report.html", scheme)) for scheme in ("light", "dark"))
    assert all(one != other for one, other in zip(light, dark))
    page = open_page(evaluated / "report.html")
    page.locator("#theme").click()
    assert colours(page) == dark
    page.locator("#theme").click()
    assert colours(page) == light


LAYOUT = """
() => ({
  overflow: document.documentElement.scrollWidth - innerWidth,
  hidden: [...document.querySelectorAll(".wide")].filter((wide) => {
    wide.scrollLeft = 1e6;
    const first = wide.querySelector("tbody tr > :first-child").getBoundingClientRect();
    const last = [...wide.querySelectorAll("tbody tr:first-child > *")].at(-1).getBoundingClientRect();
    return wide.offsetParent && (first.left < -1 || first.right > innerWidth - 80 || last.right > innerWidth + 1);
  }).map((wide) => wide.innerText.slice(0, 40)),
})
"""
"""Whether the page is wider than the screen; and the tables whose names or numbers cannot be seen beside each other."""


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_and_numbers_are_seen_on_any_screen(evaluated, open_page, width, scheme):
    page = open_page(evaluated / "report.html", scheme)
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate(LAYOUT) == {"overflow": 0, "hidden": []}
    assert page.locator("header .lead").text_content().count(".") >= 1
    order = page.locator("main section").evaluate_all("all => all.map((one) => one.id)")
    assert order[:3] == ["listen", "quality", "systems"]


def test_evaluations_are_combined(evaluated, tmp_path, open_page, capsys):
    other = tmp_path / "other"
    shutil.copytree(evaluated, other)
    content = json.loads((other / "results.json").read_text())
    content["trained"]["checksum"] = "another"
    (other / "results.json").write_text(json.dumps(content))
    with pytest.raises(SystemExit, match="0"):
        main(["report", str(evaluated), str(other), "--out", str(tmp_path / "joined.html")])
    assert "joined.html" in capsys.readouterr().out
    page = open_page(tmp_path / "joined.html")
    links = page.locator("main table a").evaluate_all("all => all.map((link) => link.href)")
    assert links == [(folder / "report.html").as_uri() for folder in (evaluated, other)]
    systems = page.locator("details[open] tbody td:first-child").all_text_contents()
    ours = [f"run ({folder}){point} codebooks" for folder in (evaluated, other) for point in (4, 2)]
    assert systems == [*ours, "Opus12 kbps"]  # two models of one name; Opus, the same for both, once
    assert page.locator("#rates figure:visible").count() == 2
    assert page.get_by_text("Not on the same clips").count() == 0
    assert page.locator("#differences tbody tr").count() > 0
    players = page.locator("#listen .ab")
    buttons = players.first.locator(".switch button").all_text_contents()
    assert players.count() > 0 and buttons[0] == "Original"
    assert [label.partition(" · ")[0] for label in buttons[1:]] == [f"run ({evaluated})", f"run ({other})", "Opus 12"]


def test_unreadable_results_are_refused_with_their_path(evaluated, tmp_path):
    for content, words in (("{}", "results.json"), ("[", "results.json"), (None, "results.json")):
        if content is not None:
            (tmp_path / "results.json").write_text(content)
        with pytest.raises(UserError, match=words):
            write_combined_page([evaluated, tmp_path], tmp_path / "joined.html")
        (tmp_path / "results.json").unlink(missing_ok=True)
    assert not (tmp_path / "joined.html").exists()
    with pytest.raises(UserError, match="no such folder"):
        write_combined_page([evaluated], tmp_path / "nowhere" / "joined.html")


def test_evaluations_of_different_clips_are_marked(evaluated, tmp_path):
    content = json.loads((evaluated / "results.json").read_text())
    content["clips"] = content["clips"][1:]
    for point in content["rates"]:
        point["clips"] -= 1
    (tmp_path / "results.json").write_text(json.dumps(content))
    write_combined_page([evaluated, tmp_path], tmp_path / "joined.html")
    html = (tmp_path / "joined.html").read_text()
    assert "Not on the same clips" in html
    named = re.findall(r"</i>(Opus[^<]*)</span>", html)
    assert named == [f"Opus ({folder})" for folder in (evaluated, tmp_path)]
    most = max(point["clips"] for point in content["rates"]) + 1
    assert f"{most - 1} to {most} clips, depending on the system" in html and f"· {most} clips<" not in html


def test_two_external_systems_of_one_name_are_distinguished(evaluated, tmp_path):
    """Decodes of another folder under the name of the first one, and those of the first one judged once more."""
    content = json.loads((evaluated / "results.json").read_text())
    for name, factor in (("first", 1.0), ("again", 1.0 + 1e-6), ("other", 1.1)):
        for point in content["rates"]:
            if point["system"] == "Opus":
                point.update(system="Theirs", point="as supplied", kbps=None)
            if point["system"] == "Theirs":
                point["mean"] *= factor
        (tmp_path / name).mkdir()
        (tmp_path / name / "results.json").write_text(json.dumps(content))

    def named(*names: str) -> list[str]:
        write_combined_page([tmp_path / name for name in names], tmp_path / "joined.html")
        return re.findall(r"</i>((?:Theirs|run)[^<]*)</span>", (tmp_path / "joined.html").read_text())

    assert named("first", "again") == ["run", "Theirs"]
    assert named("first", "other") == ["run", *(f"Theirs ({tmp_path / name})" for name in ("first", "other"))]
