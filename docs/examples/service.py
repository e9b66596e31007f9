"""A service that encodes and decodes live over WebSockets, 20 ms at a time.

    pip install fastapi 'uvicorn[standard]'
    uvicorn --app-dir docs/examples service:app

``/encode`` takes messages of samples, 16-bit integers at the model's rate, of any length, 20 ms are 640 bytes; for each
20 ms it answers with the codes of a frame, 16-bit integers, one for each codebook. ``/decode`` takes such messages of
codes, one or more frames each, and answers with samples. All numbers are little-endian. A text message ``end`` asks for
what remains, after which the service closes. ``/encode?codebooks=8`` sets the number of codebooks.

The variable LATHE_MODEL names another model. Messages that are none close the stream with status 1007 and the reason.
The first frame comes when the encoder has seen one frame more than it holds, and the first sound one frame after its
codes: 40 ms in all with the built-in model.
"""

import os
from collections.abc import AsyncIterator

import numpy as np
import torch
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from fastapi.concurrency import run_in_threadpool

import codec

torch.set_num_threads(1)
speech = codec.load(os.environ.get("LATHE_MODEL", "speech_16k_v2"))
app = FastAPI(title="Lathe")


@app.get("/")
def describe() -> dict[str, str | int | float]:
    """What a client must know."""
    return {
        "fingerprint": speech.fingerprint,
        "sample_rate": speech.sample_rate,
        "frames_per_second": speech.frames_per_second,
        "codebooks": speech.codebooks,
        "codebook_size": speech.codebook_size,
    }


@app.websocket("/encode")
async def encode(socket: WebSocket, codebooks: int | None = None) -> None:
    await socket.accept()
    try:
        encoder = speech.stream_encoder(codebooks=codebooks)
        async for message in messages(socket):
            samples = np.frombuffer(message, "<i2").astype(np.float32)[None] / 32768
            await send_frames(socket, await run_in_threadpool(encoder.push, samples))
        await send_frames(socket, await run_in_threadpool(encoder.flush))
        await socket.close()
    except (ValueError, codec.UserError) as error:
        await socket.close(1007, str(error)[:120])
    except WebSocketDisconnect:
        pass


@app.websocket("/decode")
async def decode(socket: WebSocket, codebooks: int = speech.codebooks) -> None:
    await socket.accept()
    try:
        decoder = speech.stream_decoder()
        async for message in messages(socket):
            frames = np.frombuffer(message, "<i2").reshape(-1, codebooks).astype(np.int64)
            await send_samples(socket, await run_in_threadpool(decoder.push, frames.T[None]))
        await send_samples(socket, await run_in_threadpool(decoder.flush))
        await socket.close()
    except (ValueError, codec.UserError) as error:
        await socket.close(1007, str(error)[:120])
    except WebSocketDisconnect:
        pass


async def messages(socket: WebSocket) -> AsyncIterator[bytes]:
    """Receive bytes until a text message ends the stream."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        if message.get("bytes") is None:
            return
        yield message["bytes"]


async def send_frames(socket: WebSocket, codes: np.ndarray) -> None:
    """Send each frame of ``codes`` ``[1, codebooks, frames]`` as a message."""
    for frame in codes[0].T.astype("<i2"):
        await socket.send_bytes(frame.tobytes())


async def send_samples(socket: WebSocket, wave: np.ndarray) -> None:
    """Send ``wave`` ``[1, samples]``, unless there is none yet."""
    if wave.size:
        levels = np.clip(np.rint(wave[0] * 32768), -32768, 32767)
        await socket.send_bytes(levels.astype("<i2").tobytes())
