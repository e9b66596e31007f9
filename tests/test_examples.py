"""The example programs in docs/examples."""

import math
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import codec as library
from codec.batch.tokenize import encode_tokens

EXAMPLES = Path(__file__).parents[1] / "docs/examples"


def test_gradient_and_genetic_search_agree_on_the_error_and_only_genetic_search_accounts_for_bits():
    example = SimpleNamespace(**runpy.run_path(str(EXAMPLES / "gradients_or_genes.py")))
    values = example.laplacian(4000)
    error, both = example.Objective(values), example.Objective(values, bits_weight=0.05)
    scales = torch.linspace(0.05, 1.5, 600)
    best = {weight: min(float(one(scale)) for scale in scales) for weight, one in ((0, error), (1, both))}
    assert example.descend_gradient(error, 0.1).loss == pytest.approx(best[0], rel=0.01)
    assert example.search_genetically(error).loss == pytest.approx(best[0], rel=0.01)
    assert example.search_genetically(both).loss == pytest.approx(best[1], rel=0.01)
    blind = example.descend_gradient(both, 0.1)
    assert blind.loss > 1.05 * best[1]
    assert blind.scale == pytest.approx(example.descend_gradient(error, 0.1).scale)


def test_a_language_model_learns_tokens_and_speaks(tmp_path, model, monkeypatch, capsys):
    """At a tiny size: better than knowing nothing, and a sound of the length that was asked for."""
    tone = 0.2 * np.sin(np.arange(64000) / 10)
    soundfile.write(tmp_path / "a.wav", tone, 16000)
    speech = library.load(model)
    encode_tokens([tmp_path / "a.wav"], tmp_path / "tokens", speech.model, codebooks=2, flat=True)
    words = [str(tmp_path / "tokens"), "--model", str(model), "--out", str(tmp_path / "spoken.wav"), "--width", "16"]
    monkeypatch.setattr(sys, "argv", ["example", *words, "--steps", "40", "--seconds", "0.5"])
    runpy.run_path(str(EXAMPLES / "token_language_model.py"), run_name="__main__")
    first, last = re.match(r"40 steps, ([\d.]+) → ([\d.]+) nats", capsys.readouterr().out).groups()
    assert float(last) < min(float(first), math.log(2 * speech.codebook_size))
    sound, rate = soundfile.read(tmp_path / "spoken.wav")
    assert rate == speech.sample_rate and len(sound) == 24 * 320 and np.abs(sound).max() > 0


def test_the_service_encodes_and_decodes_as_the_library_does(model, monkeypatch):
    """20 ms at a time in both directions, several clients at once."""
    monkeypatch.setenv("LATHE_MODEL", str(model))
    speech = library.load(model)
    wave = (0.1 * np.random.default_rng(0).standard_normal(16000)).astype(np.float32)
    levels = np.rint(wave * 32768).astype("<i2")
    encoder, decoder = speech.stream_encoder(codebooks=2), speech.stream_decoder()
    samples = levels[None] / np.float32(32768)
    codes = np.concatenate([encoder.push(samples), encoder.flush()], 2)[0]
    sound = np.concatenate([decoder.push(codes[None]), decoder.flush()], 1)[0]
    with TestClient(runpy.run_path(str(EXAMPLES / "service.py"))["app"]) as client:
        assert client.get("/").json()["fingerprint"] == speech.fingerprint
        sent = [levels[first : first + 320].tobytes() for first in range(0, len(levels), 320)]
        assert {len(message) for message in sent} == {640}
        with (
            client.websocket_connect("/encode?codebooks=2") as up,
            client.websocket_connect("/decode?codebooks=2") as down,
        ):
            frames, heard = [], []
            for number, message in enumerate(sent):
                up.send_bytes(message)
                if number:  # the first frame waits for the samples that its transform covers
                    frames.append(up.receive_bytes())
                    down.send_bytes(frames[-1])
                if number > 1:
                    heard.append(down.receive_bytes())
            for socket, received in ((up, frames), (down, heard)):
                if socket is down:
                    for late in frames[len(sent) - 1 :]:
                        down.send_bytes(late)
                socket.send_text("end")
                with pytest.raises(WebSocketDisconnect) as ended:
                    while True:
                        received.append(socket.receive_bytes())
                assert ended.value.code == 1000
        found = np.stack([np.frombuffer(frame, "<i2") for frame in frames], 1)
        assert found.shape == codes.shape and (found == codes).mean() > 0.999
        played = np.frombuffer(b"".join(heard), "<i2") / 32768
        assert len(played) == len(sound) and np.abs(played - sound).max() < 1e-4
        for path, message in (("/encode", b"123"), ("/decode", b"12"), ("/decode?codebooks=1", b"\xff\x7f")):
            with client.websocket_connect(path) as socket:
                socket.send_bytes(message)
                with pytest.raises(WebSocketDisconnect) as ended:
                    socket.receive_bytes()
                assert ended.value.code == 1007 and ended.value.reason
