"""Tags of any program, read, passed through ``.nac`` files and written; inputs are made byte by byte or by FFmpeg."""

import io
import json
import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import tinytag

from codec import audio
from codec.audio import join_values, split_values
from codec.audio.pictures import MAX_PICTURE_BYTES, Picture
from codec.audio.tag_encoding import decode_text, repair_text
from codec.batch.encode import encode_batch
from codec.batch.jobs import BatchOptions
from codec.bitstream.pictures import fit_pictures
from codec.bitstream.reader import PacketReader
from codec.cli import main
from codec.coding.file_info import file_info
from codec.coding.files import decode_file, encode_file
from codec.coding.options import CodingOptions
from codec.pretrained.loaded_model import LoadedModel
from tests.helpers.audio import noise


def chunk(name: bytes, data: bytes, order: str = "<") -> bytes:
    return name + struct.pack(f"{order}I", len(data)) + data + bytes(len(data) % 2)


def coded_file(format: str) -> bytes:
    data = io.BytesIO()
    soundfile.write(data, noise(22050), 22050, format=format)
    return data.getvalue()


def wav(*chunks: bytes) -> bytes:
    body = coded_file("WAV")[8:] + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def aiff(*chunks: bytes) -> bytes:
    body = coded_file("AIFF")[8:] + b"".join(chunks)
    return b"FORM" + struct.pack(">I", len(body)) + body


def info(**texts: bytes) -> bytes:
    return chunk(b"LIST", b"INFO" + b"".join(chunk(name.encode(), text + b"\0") for name, text in texts.items()))


def id3(version: int, *frames: tuple[str, bytes]) -> bytes:
    def size(count: int) -> bytes:
        return bytes((count >> shift) & 127 for shift in (21, 14, 7, 0))

    made = [
        (name.encode(), size(len(data)) if version == 4 else struct.pack(">I", len(data)), data)
        for name, data in frames
    ]
    body = b"".join(name + length + bytes(2) + data for name, length, data in made)
    return b"ID3" + bytes([version, 0, 0]) + size(len(body)) + body


def ape(**texts: bytes) -> bytes:
    items = b"".join(struct.pack("<II", len(text), 0) + name.encode() + b"\0" + text for name, text in texts.items())
    return items + b"APETAGEX" + struct.pack("<IIII", 2000, len(items) + 32, len(texts), 0) + bytes(8)


PICTURE = b"\0image/png\0\x03\0" + bytes(500)
SONG = ("TIT2", b"\0Song")
SEVERAL = ("TPE1", b"\x03\xc3\x84\0B;C\0D")
CASES = {
    "id3 in WAV": (wav(chunk(b"id3 ", id3(4, SONG, SEVERAL))), {"title": "Song", "artist": "Ä\0B;C\0D"}),
    "ID3 in AIFF": (aiff(chunk(b"ID3 ", id3(4, SONG, SEVERAL), ">")), {"title": "Song", "artist": "Ä\0B;C\0D"}),
    "ID3v2.4": (id3(4, SONG, SEVERAL, ("TRCK", b"\x003/7"), ("TDRC", b"\x002001")) + coded_file("MP3"),
                {"title": "Song", "artist": "Ä\0B;C\0D", "tracknumber": "3/7", "date": "2001"}),
    "ID3v2.3, two frames": (id3(3, SONG, ("TPE1", b"\x00A"), ("TPE1", b"\x01\xff\xfe\x16\x04")) + coded_file("MP3"),
                            {"title": "Song", "artist": "A\0Ж"}),
    "ID3 in Latin-1": (id3(3, ("TIT2", b"\0M\xfcller")) + coded_file("MP3"), {"title": "Müller"}),
    "ID3 in Windows-1252": (id3(3, ("TIT2", b"\0It\x92s we\x92re")) + coded_file("MP3"), {"title": "It’s we’re"}),
    "ID3 in Shift-JIS": (id3(3, ("TIT2", b"\0" + "日本語 ABC".encode("cp932"))) + coded_file("MP3"),
        {"title": "日本語 ABC"}),
    "ID3 in UTF-8 as Latin-1": (id3(3, ("TIT2", b"\0" + "Größe".encode())) + coded_file("MP3"), {"title": "Größe"}),
    "ID3 in a code page": (id3(3, ("TIT2", b"\0" + "Привет".encode("cp1251"))) + coded_file("MP3"),
        {"title": "Ïðèâåò"}),
    "APEv2": (coded_file("MP3") + ape(Title="Größe".encode(), Artist=b"A\0B", Year=b"1999", Comment=b"x" * 50000),
              {"title": "Größe", "artist": "A\0B", "date": "1999", "comment": "x" * 50000}),
    "INFO": (wav(info(INAM="Größe".encode("cp1252"), IART=b"A", ICRD=b"2001", ICMT="é".encode())),
             {"title": "Größe", "artist": "A", "date": "2001", "comment": "é"}),
    "INFO in Shift-JIS": (wav(info(ICOP="日本語".encode("cp932"))), {"copyright": "日本語"}),
    "NAME in AIFF": (aiff(chunk(b"NAME", "Größe".encode("latin-1"), ">")), {"title": "Größe"}),
    "Info in the title": (id3(3, ("TIT2", b"\0Info Session 3")) + coded_file("MP3"), {"title": "Info Session 3"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_tags_are_read_in_the_right_encoding(tmp_path, case):
    data, expected = CASES[case]
    (tmp_path / "a").write_bytes(data)
    described = audio.info(tmp_path / "a")
    assert described.tags == expected and described.pictures == 0
    assert audio.read(tmp_path / "a").samples.shape[1] >= 22050


def by_ffmpeg(path: Path, format: str, encoder: str, sample_format: str, **options: str) -> bytes:
    """Return a second of silence with three tags."""
    with av.open(str(path), "w", format=format, options=options) as file:
        stream = file.add_stream(encoder, rate=16000, format=sample_format, layout="mono", bit_rate=64000)
        file.metadata.update({"title": "Größe", "artist": "A", "date": "2001"})
        silence = np.zeros((1, 16000), np.float32 if "flt" in sample_format else np.int16)
        frame = av.AudioFrame.from_ndarray(silence, format=sample_format, layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = 16000, Fraction(1, 16000), 0
        for part in (frame, None):
            for packet in stream.encode(part):
                file.mux(packet)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("format", "encoder", "sample_format"),
    [("ipod", "aac", "fltp"), ("matroska", "flac", "s16"), ("asf", "wmav2", "fltp"), ("wv", "wavpack", "s16p")],
)
def test_tags_are_read_from_other_containers(tmp_path, format, encoder, sample_format):
    by_ffmpeg(tmp_path / "a", format, encoder, sample_format)
    tags = audio.info(tmp_path / "a").tags
    assert (tags["title"], tags["artist"], tags["date"]) == ("Größe", "A", "2001")


def test_files_with_damaged_tags_are_read(tmp_path):
    data = CASES["ID3v2.4"][0]
    rng = np.random.default_rng(0)
    for _ in range(60):
        broken = bytearray(data)
        for at in rng.integers(10, 60, 3):
            broken[at] = rng.integers(256)
        (tmp_path / "a").write_bytes(bytes(broken))
        assert audio.read(tmp_path / "a").samples.shape[1] >= 22050
        assert all(isinstance(text, str) for text in audio.info(tmp_path / "a").tags.values())
    for cut in range(1, 60):
        (tmp_path / "a").write_bytes(coded_file("MP3") + ape(Title=b"x", Artist=b"y")[-cut:])
        assert audio.info(tmp_path / "a").tags == {}


def comments_of(path: Path) -> list[tuple[str, str]]:
    """Return the tags of a file as FFmpeg reads them, which joins values by semicolons."""
    with av.open(str(path)) as file:
        found = {**file.metadata, **file.streams[0].metadata}
    return sorted((name.lower(), text) for name, text in found.items() if name.lower() != "encoder")


@pytest.mark.parametrize("suffix", ["flac", "ogg", "wav"])
def test_several_values_survive_coding(tmp_path, codec, suffix):
    (tmp_path / "a.wav").write_bytes(CASES["id3 in WAV"][0])
    report = encode_file(
        tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec), CodingOptions(tags={"genre": "x\0y", "mood": "z"})
    )
    expected = {"title": "Song", "artist": "Ä\0B;C\0D", "genre": "x\0y"}
    assert file_info(tmp_path / "a.nac")["tags"] == {**expected, "mood": "z"}
    assert (
        encode_batch([tmp_path / "a.wav"], tmp_path, LoadedModel(codec), CodingOptions(tags={"mood": "z"})).skipped
        and report.seconds == 1
    )
    decode_file(tmp_path / "a.nac", tmp_path / f"b.{suffix}", LoadedModel(codec))
    written = dict(comments_of(tmp_path / f"b.{suffix}"))
    separator = "; " if suffix == "wav" else ";"
    assert (written["title"], written["artist"]) == ("Song", separator.join(["Ä", "B;C", "D"]))
    described = audio.info(tmp_path / f"b.{suffix}")
    assert described.decoded and described.frames in (22050, None)
    flat = {name: text.replace("\0", "; ") for name, text in expected.items()}
    assert described.tags == (flat if suffix == "wav" else {**expected, "mood": "z"})
    assert audio.read(tmp_path / f"b.{suffix}").samples.shape == (1, 22050)
    assert soundfile.read(tmp_path / f"b.{suffix}")[0].shape == (22050,)


def test_tags_that_do_not_fit_are_reported(tmp_path, codec):
    (tmp_path / "in").mkdir()
    bare = by_ffmpeg(tmp_path / "bare", "mp3", "libmp3lame", "fltp", write_xing="0", id3v2_version="0")
    assert b"Xing" not in bare and b"Info" not in bare
    tag = ape(Artist=b"A\0B", Year=b"1999", Comment=b"x" * 100_000)
    (tmp_path / "in/a.mp3").write_bytes(id3(3, ("TIT2", b"\0Session 3"), ("APIC", PICTURE)) + bare + tag)
    assert audio.info(tmp_path / "in/a.mp3").frames is None
    for _ in range(2):
        batch = encode_batch([tmp_path / "in"], tmp_path / "out", LoadedModel(codec))
        assert not batch.failures
    assert len(batch.skipped) == 1
    for keep, left_out in ((True, 0), (False, 1)):
        batch = encode_batch([tmp_path / "in"], tmp_path / "out", LoadedModel(codec), CodingOptions(pictures=keep),
                             BatchOptions(force=keep))  # fmt: skip
        summary = batch.summary
        assert (summary.pictures, summary.pictures_left_out, summary.tags_left_out) == (1, left_out, 1)
        assert len(file_info(tmp_path / "out/a.nac")["pictures"]) == keep
    assert "1 picture" in batch.summary.text() and "1 tag" in batch.summary.text()
    assert set(file_info(tmp_path / "out/a.nac")["tags"]) == {"title", "artist", "date"}


def flac_with_pictures(path: Path, *pictures: Picture) -> None:
    with audio.AudioWriter(path, 22050, 1, pictures=pictures) as writer:
        writer.write(noise(22050)[None].astype(np.float32))


def test_pictures_survive_coding(tmp_path, codec, capsys):
    cover = Picture(b"\xff\xd8\xff" + bytes(range(256)) * 900, "image/jpeg", 3, "Größe")
    logo = Picture(b"\x89PNG" + bytes(9), "image/png", 19)
    flac_with_pictures(tmp_path / "a.flac", cover, logo)
    assert audio.info(tmp_path / "a.flac").pictures == 2
    report = encode_file(tmp_path / "a.flac", tmp_path / "a.nac", LoadedModel(codec))
    assert (report.pictures, report.pictures_left_out) == (2, 0) and report.bytes_metadata > 256 * 900
    assert 8 * (report.bytes_total - report.bytes_metadata) == pytest.approx(1000 * report.kbps)
    with PacketReader(tmp_path / "a.nac") as reader:
        assert reader.pictures == (cover, logo)
    for suffix, left_out in (("flac", 0), ("wav", 2)):
        back = decode_file(tmp_path / "a.nac", tmp_path / f"b.{suffix}", LoadedModel(codec))
        assert (back.pictures, back.pictures_left_out) == (2, left_out)
    assert soundfile.read(tmp_path / "b.flac")[0].shape == (22050,)
    assert audio.info(tmp_path / "b.flac").decoded
    assert (audio.read(tmp_path / "b.flac").samples == audio.read(tmp_path / "b.wav").samples).all()
    found = tinytag.TinyTag.get(tmp_path / "b.flac", image=True).images
    assert (found.front_cover.data, found.front_cover.description) == (cover.data, "Größe")
    assert [image.data for image in found.other["band_logo"]] == [logo.data]
    with av.open(str(tmp_path / "b.flac")) as file:
        assert len(file.streams.video) == 2 and sum(frame.samples for frame in file.decode(audio=0)) == 22050

    words = ["info", str(tmp_path / "a.nac"), "--extract-pictures", str(tmp_path / "pictures")]
    for status in (0, 1):  # existing files are not replaced
        with pytest.raises(SystemExit) as stopped:
            main(words)
        assert stopped.value.code == status
    assert (tmp_path / "pictures/a.1.jpg").read_bytes() == cover.data
    assert (tmp_path / "pictures/a.2.png").read_bytes() == logo.data
    capsys.readouterr()


def test_pictures_that_do_not_fit_are_left_out():
    large = Picture(bytes(MAX_PICTURE_BYTES + 1), "image/png")
    small = Picture(b"x", "m" * 300, 3, "ö" * 200)
    assert fit_pictures([large, small]) == (Picture(b"x", "m" * 255, 3, "ö" * 127),)
    half = Picture(bytes(MAX_PICTURE_BYTES - 9), "image/png")
    assert fit_pictures([half, half, half, small])[:2] == (half, half)


def test_tags_of_the_command_line_may_have_several_values(tmp_path, model, capsys):
    soundfile.write(tmp_path / "a.wav", np.zeros(1000), 16000)
    words = ["encode", "a.wav", "--out", "a.nac", "--tag", "artist=A", "--tag", "artist=B", "--tag", "title=T"]
    with pytest.raises(SystemExit), pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        main([*words, "--model", str(model)])
    assert file_info(tmp_path / "a.nac")["tags"] == {"artist": "A\0B", "title": "T"}
    capsys.readouterr()
    for more, shown in (([], "artist=A, artist=B"), (["--json"], json.dumps("A\0B"))):
        with pytest.raises(SystemExit):
            main(["info", str(tmp_path / "a.nac"), *more])
        assert shown in capsys.readouterr().out


def test_values_are_joined_and_split():
    assert split_values(join_values(["a", "b\0c", "a", " "])) == ["a", "b", "c"] and join_values([]) == ""


def test_detection_of_text_encodings():
    for text in ("Größe", "plain", "日本語", "Ж", "“quoted” – €"):
        assert repair_text(text) == text and decode_text(text.encode()) == text
    assert decode_text(b"\x81\x8d") == "\x81\x8d"  # none of the encodings has these
