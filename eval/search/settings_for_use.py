"""How to have an operating point: what ``codec encode`` takes, and what to do about each of the other settings."""

from dataclasses import dataclass

from codec.bitstream.framing import PACKET_S
from eval.search.space import Settings


@dataclass(frozen=True)
class Usage:
    """The command for files, and a line for every setting that it does not take."""

    command: str
    notes: list[str]


def usage(model: str, settings: Settings, default: Settings) -> Usage:
    """``default``: the usual value of each setting; those that have it need nothing."""
    changed = {name: value for name, value in settings.items() if value != default[name]}
    onnx = changed.get("runtime") == "onnx"
    asked = {name: changed[name] for name in ("kbps", "codebooks") if name in changed}
    if "kbps" in asked:
        asked.pop("codebooks", None)
    words = "".join(f" --{name} {value:g}" for name, value in asked.items())
    machine = " --device onnx" if onnx else f" --threads {changed['threads']}" if "threads" in changed else ""
    export = f"codec export {model} --out model/ --onnx; " if onnx else ""
    place = "model/" if onnx else model
    notes = [
        f"{name} {value}: {told}" for name, value in changed.items() if (told := _note(name, value, changed, onnx))
    ]
    if machine:
        notes.append(f"to decode: codec decode nac/ --out wav/ --model {place}{machine}")
    return Usage(f"{export}codec encode AUDIO --out nac/ --model {place}{words}{machine}", notes)


def _note(name: str, value: object, changed: Settings, onnx: bool) -> str:
    """Nothing where the command takes it."""
    if name == "codebooks" and "kbps" in changed:
        return "codec encode takes one of --kbps and --codebooks, and bits are what the rate is about"
    if name == "threads" and onnx:
        return f'in Python, codec.load("model/", device="onnx", threads={value})'
    if name == "runtime" and not onnx:
        return "in Python, model.encoder.compile() and model.decoder.compile() of the model of codec.load(…)"
    return {
        "precision": f'of the decoder, in Python: codec.load(…, dtype="{value}")',
        "block": f"of streams, in Python: stream_encoder(block={value}) and stream_decoder(block={value})",
        "entropy": "not in files, which have the model's tables with contexts"
        + ("; pipes (codec encode -) have codes of fixed width" if value == "none" else ""),
        "packet_s": f"not in files, whose packets are of {PACKET_S:g} s",
    }.get(name, "")
