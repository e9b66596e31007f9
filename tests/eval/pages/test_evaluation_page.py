"""The report page: complete, self-contained, and with the numbers of the result."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import soundfile
from PIL import Image

from codec.training.metrics_log import Curve
from eval.evaluation.formatting import format_value
from eval.evaluation.tables import evaluation_markdown
from eval.metrics.confidence import Estimate
from eval.pages.evaluation_page import write_report
from eval.pages.listening_examples import views
from eval.pages.plots import loss_curves_svg
from eval.pages.spectrograms import spectrogram_db, spectrogram_images
from tests.helpers.example_report import write_example_report
from tests.helpers.packed_data import RATE


class Page(HTMLParser):
    """Collects attributes that may load something, visible text, and the text of scripts."""

    def __init__(self, html: str):
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self.hidden: dict[str, str] = {}
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.loads += [
            value for key, value in attributes if key in ("src", "href", "xlink:href", "srcset", "action", "data")
        ]
        self._inside = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside:
            self.hidden[self._inside] = self.hidden.get(self._inside, "") + data
        else:
            self.texts.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A result with all that a page can show, and its page."""
    folder = tmp_path_factory.mktemp("report")
    return write_example_report(folder), (folder / "report.html").read_text(encoding="utf-8")


def test_nothing_is_loaded_from_anywhere(made):
    page = Page(made[1])
    assert page.loads
    assert all(address.startswith(("data:", "#")) for address in page.loads)
    assert not {"link", "iframe", "object", "embed"} & {
        tag for tag, attributes in page.tags if attributes.get("href") != "data:,"
    }
    style = page.hidden["style"]
    assert "@import" not in style and not re.search(r"url\((?!#)", style)
    assert not re.search(r"https?://|fetch\(|XMLHttpRequest|import\(", made[1])


def test_light_and_dark_are_both_there(made):
    assert "color-scheme: light dark" in made[1]
    svg = re.search(r"<svg.*?</svg>", made[1], re.DOTALL).group()
    assert not re.search(r"(stroke|fill): #", svg)  # every colour is the page's


def test_every_number_of_the_tables_is_on_the_page(made):
    result, html = made
    text = Page(html).text
    for row in result.rows:
        for name, found in row.metrics.items():
            for value in (found.mean, found.low, found.high):
                assert value is None or format_value(name, value) in text
        assert f"{row.kbps:.2f}" in text
    for clip in result.clips:
        for name, score in clip.scores.items():
            assert score.value is None or format_value(name, score.value) in text
    for shown in (
        "3.21",
        "3.00",
        "2.72",
        "123",
        "98",
        "1,500 steps",
        "1.23 million",
        "2 h 45 min",
        "11 groups",
        "321",
        "0123456789abcdef",
    ):
        assert shown in text, shown
    assert result.command in text


def test_the_page_carries_the_results_themselves(made):
    result, html = made
    inside = re.search(r'<script type="application/json" id="results">(.*?)</script>', html, re.DOTALL).group(1)
    assert json.loads(inside) == json.loads(json.dumps(result.to_dict()))


def test_verdict_demonstration_and_ledger_are_shown(made):
    text = Page(made[1]).text
    assert "Overfitted since step 5" in text and "Train on audio from more groups." in text
    assert "demonstration" in text and "opened 3 times before" in text
    assert "2 runs have been compared" in text


def test_a_model_that_decodes_like_another_is_said_to(made, tmp_path):
    """A fine-tuning that never got better ends as the model that it started from."""
    equal = [replace(entry, mean=1e-17, low=-1e-17, high=1e-17) for entry in made[0].differences]
    for differences, alike in ((made[0].differences, False), (equal, True)):
        write_report(replace(made[0], differences=differences, clips=[]), [], [], tmp_path / "report.html")
        page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
        assert ("decodes alike" in page.text) == alike


def test_failed_and_absent_values_are_marked(made):
    text = Page(made[1]).text
    assert "1 × silent decode (ESTOI)" in text and "1 failed" in text
    assert "1 × silent reference (STOI)" in text and "1 left out" in text
    assert made[0].main.metrics["estoi"].clips == 6 and made[0].main.metrics["stoi"].clips == 5
    assert made[0].main.metrics["estoi"].mean == pytest.approx((0.7 + 0.71 + 0.72 + 0 + 0.74 + 0.75) / 6)
    assert {point.failed for point in made[0].rates if point.metric == "estoi" and point.domain == "speech"} == {1, 0}
    assert "lathe-codec[eval]" in text


def test_names_and_recipe_are_escaped(made):
    html = made[1]
    assert "<b>bold &" not in html and "<script>alert" not in html
    assert "<b>bold & co" in Page(html).text


def test_sounds_are_the_clips_each_with_its_decode_and_the_nearest_other_codec(made):
    page = Page(made[1])
    sounds = [attributes for tag, attributes in page.tags if tag == "audio"]
    clips = sum(attributes.get("class") == "ab" for _, attributes in page.tags)
    assert len(sounds) == 5 * clips
    for name in (
        "6 codebooks · 3.21 kbit/s",
        "Opus 8 · 7.20 kbit/s",
        "3 codebooks · 2.00 kbit/s",
        "Other · rate unknown",
    ):
        assert name in page.text
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", made[1])
    assert captions[:3] == ["Original", "ours", "Difference"]  # the name of the model
    for three in zip(sounds[::5], sounds[1::5], sounds[2::5]):
        first, second, third = (
            soundfile.read(io.BytesIO(base64.b64decode(sound["src"].split(",")[1])))[0] for sound in three
        )
        assert len(first) == len(second) == RATE
        np.testing.assert_allclose(second, 0.8 * first, atol=2 / 32768)
        np.testing.assert_allclose(third, first, atol=2 / 32768)
        gains = [float(sound["data-gain"]) for sound in three]
        assert gains == pytest.approx([1.0, 1.25, 1.0], rel=1e-3)  # all as loud as the original
    pictures = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) == 3 * clips and all(one["src"].startswith("data:image/webp") for one in pictures)


def test_every_metric_has_its_best_median_and_worst_clip(made):
    clips = made[0].clips
    found = {view.name: view.ranks for view in views(clips)}
    assert found["mel"] == {0: "best", 4: "median", 7: "worst"}
    assert list(found["estoi"].items()) == [(7, "best"), (2, "median"), (3, "worst")]  # the higher the better
    assert set(found["domains"].values()) == {"music", "speech"}
    (two,) = views([replace(clip, domain="speech", scores={"mel": clip.scores["mel"]}) for clip in clips[:2]])
    assert two.ranks == {0: "best", 1: "worst"}
    offered = re.findall(r'<option value="(\w+)" data-order="([^"]*)"', made[1])
    assert {name: json.loads(order) for name, order in offered} == {name: list(ranks) for name, ranks in found.items()}


def test_curves_hold_every_system_in_and_out_of_distribution_apart(made):
    figures = re.findall(r'<figure data-metric="(\w+)"><svg [^>]*aria-label="([^"]*)"', made[1])
    abouts = [about for name, about in figures if name == "mel"]
    assert [about.split(", ", 1)[1] for about in abouts] == [
        f"{cell}: ours, Opus, Other"
        for cell in (
            "speech, in distribution",
            "all domains, out of distribution",
            "music, out of distribution",
            "speech, out of distribution",
        )
    ]


def test_differences_absent_systems_and_the_gap_are_shown(made):
    result, html = made
    text = Page(html).text
    assert "AAC 16 is absent: the encoder was refused" in text and "234 MB" in text
    assert "+0.25 0.12 to 0.38" in text  # the gap between the halves
    mel = next(entry for entry in result.differences if (entry.system, entry.metric) == ("Opus", "mel"))
    assert mel.better == "theirs" and mel.p < mel.p_holm and f"{mel.comparisons} comparisons" in text
    assert mel.comparisons == sum(entry.distribution == "in" and entry.domain == "all" for entry in result.differences)
    assert f"+{format_value('mel', mel.mean)}" in text
    assert (
        f"At 3.20 kbps it differs from Opus at 7.20, clip by clip, by Mel distance +{format_value('mel', mel.mean)}"
        in text
    )
    assert re.search(r'<td class="n theirs" data-v="[\d.]+">', html) and "unknown" in text


def test_the_domain_with_one_clip_can_be_heard(made):
    assert re.search(r"music \(one of each domain\).* music · g3", Page(made[1]).text)


def test_a_tone_is_drawn_at_its_frequency_and_equal_waveforms_have_no_difference():
    t = np.arange(RATE) / RATE
    wave = (0.5 * np.sin(2 * np.pi * 2000 * t))[None].astype(np.float32)
    picture = spectrogram_db(wave, RATE)
    assert picture[:, picture.shape[1] // 2].argmax() * RATE / 512 == pytest.approx(2000, abs=32)
    content = base64.b64decode(spectrogram_images(wave, wave, RATE)[2].split(",")[1])
    assert np.asarray(Image.open(io.BytesIO(content))).max() < 40


def test_two_figures_share_no_identifiers():
    curves = {("val", term): Curve((0, 1, 2), (9.0, 2.0, 1.0)) for term in ("mel", "total")}
    figures = [loss_curves_svg(curves, term, term, 1, 2.0) for term in ("mel", "total")]
    names = [set(re.findall(r'id="([^"]+)"', svg)) for svg in figures]
    assert names[0] and not names[0] & names[1]
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', figures[0]))
    assert used <= names[0]


def test_the_screen_has_a_column_for_every_system_however_many_there_are(made):
    result = replace(
        made[0], others=[replace(row, name=f"{row.name} no. {i}") for i in range(4) for row in made[0].others]
    )
    lines = result.text().splitlines()
    assert max(map(len, lines)) <= 102
    shown: dict[str, dict[str, str]] = {}
    for start, line in enumerate(lines):
        if line.startswith("  real kbps"):
            names = re.split(r"\s{2,}", lines[start - 1].strip())
            for row in lines[start : start + 3]:
                label, *values = re.split(r"\s{2,}", row.strip())
                for name, value in zip(names, values, strict=True):
                    shown.setdefault(name, {})[label] = value
    assert list(shown) == ["6 codebooks", *(row.name for row in result.others)]
    for row in result.others:
        cells = shown[row.name]
        assert cells["real kbps"] == ("unknown" if row.kbps is None else f"{row.kbps:.2f}")
        assert cells["Mel distance"] == format_value("mel", row.metrics["mel"].mean)
        assert (cells["ESTOI"] == "–") == ("estoi" not in row.metrics)


def test_columns_are_apart_and_units_stand_on_the_screen_and_in_the_tables(made):
    found = {name: Estimate(3.375, 2.015, 4.695, 6, 3) for name in ("loudness", "si_sdr", "bandwidth")}
    result = replace(made[0], rows=[replace(made[0].main, metrics=found)])
    for heading in ("Loudness difference, LU", "SI-SDR, dB", "Bandwidth, kHz"):
        assert re.search(rf"^  {heading}  +3\.[34]\d* \[", result.text(), re.MULTILINE), heading
        assert f"| {heading} " in evaluation_markdown(result)
