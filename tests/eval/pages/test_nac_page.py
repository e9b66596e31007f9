"""``codec page``: its networks in Node and in a browser, against ONNX Runtime in Python; what it shows and plays."""

import functools
import http.server
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.bitstream.metadata import replace_metadata
from codec.cli import BAD_INPUT, FAILED, main
from codec.coding.file_info import file_info
from codec.coding.files import encode_file
from codec.coding.nac_reader import NacReader
from codec.coding.options import CodingOptions
from codec.errors import UserError
from codec.pretrained.registry import load_model
from eval.pages import web_runtime
from eval.pages.nac_page import write_nac_page
from tests.helpers.browser import browser
from tests.helpers.node import run_jobs
from tests.helpers.node import web_runtime as installed_runtime

RATE = 16000


@pytest.fixture(scope="module")
def made(exported_model, tmp_path_factory):
    """A page with a long file, a damaged one, and one in stereo of the same name with tags; the sources."""
    folder = tmp_path_factory.mktemp("page")
    runtime = installed_runtime()
    (folder / "model").symlink_to(exported_model)
    model, rng = load_model(str(folder / "model"), "onnx"), np.random.default_rng(0)
    (folder / "b").mkdir()
    for name, seconds, channels in (("long", 9.0, 1), ("b/long", 3.0, 2)):
        sound = np.cumsum(rng.normal(0, 0.02, (int(seconds * RATE), channels)), 0) * 0.5
        soundfile.write(folder / f"{name}.wav", sound - np.linspace(sound[0], sound[-1], len(sound)), RATE, "FLOAT")
        encode_file(folder / f"{name}.wav", folder / f"{name}.nac", model, CodingOptions())
    replace_metadata(folder / "b/long.nac", {"comment": 9000 * "x"}, ())
    content = bytearray((folder / "long.nac").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "damaged.nac").write_bytes(content)
    files = [folder / f"{name}.nac" for name in ("long", "damaged", "b/long")]
    main_words = ["page", *map(str, files), "--model", str(folder / "model"), "--out", str(folder / "page")]
    with pytest.raises(SystemExit) as ended:
        main([*main_words, "--runtime", str(runtime)])
    assert ended.value.code == FAILED  # one is damaged
    return folder


def decoded(made: Path, name: str, dtype: str = "int8") -> np.ndarray:
    with NacReader(made / f"{name}.nac", load_model(str(made / "model"), "onnx", dtype=dtype)) as reader:
        return reader.read()


def codes_of(made: Path, path: Path) -> np.ndarray:
    model = load_model(str(made / "model"), "onnx")
    with NacReader(path, model, strict=True) as reader:
        return np.concatenate(list(reader._codes(0, 1 << 40)), -1)


def test_sound_and_codes_in_node_are_those_of_onnx_runtime(made, tmp_path):
    """From the start, from any frame on, and in blocks of any size; with damage concealed, and in stereo."""
    (page,) = (made / "page/models").iterdir()
    cases = [("long", {}), ("damaged", {}), ("b/long", {"block": 37}), ("long", {"start": 211, "block": 64})]
    jobs = [
        {"job": "decode", "path": made / f"{name}.nac", "out": tmp_path / str(number), **given}
        for number, (name, given) in enumerate(cases)
    ]
    (tmp_path / "b").mkdir()
    sources = {"long": 1, "b/long": 2}
    for name, channels in sources.items():
        soundfile.read(made / f"{name}.wav", dtype="float32", always_2d=True)[0].T.tofile(tmp_path / name)
        given = {"path": tmp_path / name, "channels": channels, "codebooks": 3, "out": tmp_path / f"{name}.nac"}
        jobs.append({"job": "encode", **given})
    told = run_jobs(page, jobs, installed_runtime())
    for number, (name, _) in enumerate(cases):
        expected = decoded(made, name)[:, told[number]["first"] :]
        found = np.fromfile(tmp_path / str(number), np.float32).reshape(told[number]["channels"], -1)
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert np.abs(expected).max() > 0.01
    for name in sources:
        expected, found = codes_of(made, made / f"{name}.nac"), codes_of(made, tmp_path / f"{name}.nac")
        assert found.shape == expected.shape and (found == expected).mean() >= 0.999


@pytest.fixture(scope="module")
def served(made):
    """The page as a plain web server serves it."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=made / "page"))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


DECODE = """
async (path) => {
  const { client } = await import(new URL("app/page.js", document.baseURI));
  const bytes = new Uint8Array(await (await fetch(path)).arrayBuffer());
  const { number, header } = await client.call("open", [bytes]);
  const stream = await client.call("stream", [number, 0, header.codebooks]);
  const sound = [];
  for (let block; (block = await client.call("read", [stream]));) sound.push(...block[0]);
  return sound;
}
"""


def test_the_page_in_a_browser(made, served, tmp_path):
    with browser() as opened:
        page = opened.new_context(viewport={"width": 390, "height": 844}).new_page()
        faults: list[object] = []
        page.on("pageerror", lambda error: faults.append(error))
        page.goto(served)
        page.wait_for_function("document.querySelectorAll('.position:not(:disabled)').length === 3")
        assert page.locator("#unserved").is_hidden()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        cards = page.locator(".file")
        assert [cards.nth(n).locator("i.lost").count() for n in range(3)] == [0, 1, 0]
        facts = file_info(made / "b/long.nac")
        assert f"stereo · {facts['kbps']:.1f} kbit/s · " in cards.nth(2).locator(".facts").inner_text()
        assert "4.00 to 6.00 s" in cards.nth(1).locator(".damage").inner_text()

        heard = np.array(page.evaluate(DECODE, "files/damaged.nac"), np.float32)
        np.testing.assert_allclose(heard, decoded(made, "damaged")[0], atol=1e-4)

        position = cards.nth(0).locator(".position")
        position.evaluate("(slider) => { slider.value = 5; slider.dispatchEvent(new Event('input')); }")
        cards.nth(0).locator(".play").click()
        at = "Number(document.querySelector('.position').value)"
        page.wait_for_function(f"{at} > 5.2")
        cards.nth(0).locator(".switch button").last.click()
        assert cards.nth(0).locator(".switch button[aria-pressed=true]").inner_text() != ""
        page.wait_for_function(f"{at} > 6.5")
        page.keyboard.press("Space")
        assert "playing" not in (cards.nth(0).get_attribute("class") or "")

        page.set_input_files("#picker", made / "long.wav")
        page.wait_for_function("document.querySelectorAll('.position:not(:disabled)').length === 4")
        with page.expect_download() as download:
            cards.nth(3).get_by_text("Download").click()
        download.value.save_as(tmp_path / "dropped.nac")
        page.select_option("#rate", index=1)
        kbps = float(page.input_value("#rate"))
        page.set_input_files("#picker", made / "b/long.wav")
        page.wait_for_function("document.querySelectorAll('.position:not(:disabled)').length === 5")
        with page.expect_download() as download:
            cards.nth(4).get_by_text("Download").click()
        download.value.save_as(tmp_path / "small.nac")
        assert faults == []
        page.goto((made / "page/index.html").as_uri())
        assert page.locator("#unserved").is_visible()
    expected, found = codes_of(made, made / "long.nac"), codes_of(made, tmp_path / "dropped.nac")
    assert found.shape == expected.shape and (found == expected).mean() >= 0.999
    sizes = [8 * path.stat().st_size / 3000 for path in (tmp_path / "small.nac", made / "b/long.nac")]
    expected, found = codes_of(made, made / "b/long.nac"), codes_of(made, tmp_path / "small.nac")
    assert sizes[0] <= kbps < sizes[1] or found.shape[1] == 1
    assert found.shape[1] < expected.shape[1] and (found == expected[:, : found.shape[1]]).mean() >= 0.999


def test_files_that_cannot_be_played_are_named_and_left_out(made, tmp_path, capsys):
    (tmp_path / "nac").mkdir()
    content = (made / "long.nac").read_bytes()
    bad = {"empty": b"", "no": b"no codes"}
    for name, data in {**bad, "good": content, "hurt": (made / "damaged.nac").read_bytes()}.items():
        (tmp_path / f"nac/{name}.nac").write_bytes(data)
    given = ["--model", made / "model", "--runtime", installed_runtime()]
    for out, words in (("page", [tmp_path / "nac", tmp_path / "absent.nac"]), ("none", [tmp_path / "nac/empty.nac"])):
        with pytest.raises(SystemExit) as ended:
            main(["page", *map(str, [*words, *given]), "--out", str(tmp_path / out)])
        assert ended.value.code == (FAILED if out == "page" else BAD_INPUT)
        told = capsys.readouterr().err.splitlines()
        named = [name for name in (*bad, "absent", "hurt") if any(f"{name}.nac" in line for line in told)]
        assert named == ([*bad, "absent", "hurt"] if out == "page" else ["empty"]) and len(told) == len(named)
    assert sorted(path.name for path in (tmp_path / "page/files").iterdir()) == ["good.nac", "hurt.nac"]
    assert not (tmp_path / "none").exists()


def test_refusals(made, tmp_path, monkeypatch):
    """Nothing is written where files, models, npm or the runtime are missing."""
    out, model = tmp_path / "out", made / "model"
    (tmp_path / "empty").mkdir()
    runtime = installed_runtime()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(web_runtime.shutil, "which", lambda name: None)
    for given in (
        {"sources": [made / "long.nac"], "models": [model]},  # no npm
        {"sources": [made / "long.nac"], "models": [model], "runtime": tmp_path / "empty"},
        {"sources": [made / "long.nac"], "runtime": runtime},  # an unknown model
        {"sources": [tmp_path / "absent.nac"]},
        {"sources": []},
    ):
        with pytest.raises(UserError):
            write_nac_page(out=out, **given)
        assert not out.exists()
    with pytest.raises(UserError):
        write_nac_page([made / "long.nac"], made / "page", [model])
