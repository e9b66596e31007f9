"""``codec tag``, and tags of any name from the source to the decoded file."""

import shutil

import pytest
import soundfile
import tinytag

from codec.bitstream.reader import PacketReader
from codec.cli import BAD_INPUT, FAILED
from tests.helpers.audio import encode_with_ffmpeg, noise
from tests.helpers.command_line import sound

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)


def packets(path) -> bytes:
    """All bytes behind the tags and pictures."""
    with PacketReader(path) as reader:
        return path.read_bytes()[reader._start :]


@pytest.mark.parametrize("seconds", [1, 12, 70])  # short, archive, archive with an index
def test_tags_change_and_the_coded_audio_does_not(codec, place, tmp_path, seconds):
    sound(tmp_path / "a.wav", seconds=seconds)
    model = "--model", place / "model"
    codec("encode", tmp_path / "a.wav", "--out", tmp_path, *model)
    path = tmp_path / "a.nac"
    codec("decode", path, "--out", tmp_path / "before", *model)
    (tmp_path / "cover.png").write_bytes(PNG)
    ran = codec("tag", path, "title=Song", "artist=Ann", "artist=Bob", "mood=a=b", "--picture", tmp_path / "cover.png")
    assert (ran.status, ran.out) == (0, "1 changed, 0 were so already, 0 failed\n")
    with PacketReader(path) as reader:
        assert reader.tags == {"title": "Song", "artist": "Ann\0Bob", "mood": "a=b"}
        assert [(one.mime, one.data) for one in reader.pictures] == [("image/png", PNG)]
        reader.check()
    again = codec("encode", tmp_path / "a.wav", "--out", tmp_path, *model)
    assert again.out.startswith("files   0 done, 1 were up to date")
    first = packets(path)
    assert codec("tag", path, "title=Other", "--delete", "mood", "--delete-pictures").status == 0
    with PacketReader(path) as reader:
        assert reader.tags == {"title": "Other", "artist": "Ann\0Bob"} and not reader.pictures
    assert packets(path) == first
    codec("decode", path, "--out", tmp_path / "after", *model)
    assert soundfile.info(tmp_path / "after/a.wav").frames == seconds * 16000
    pairs = [soundfile.read(tmp_path / folder / "a.wav")[0] for folder in ("before", "after")]
    assert (pairs[0] == pairs[1]).all()


def test_the_case_of_names_means_nothing_and_an_empty_text_is_no_tag(codec, place, tmp_path):
    given = {"TITLE": "Song", "artist": "Ann", "date": "1"}
    source = encode_with_ffmpeg(tmp_path / "a.flac", noise(1, 16000), 16000, "flac", "flac", metadata=given)
    encode = ["encode", source, "--out", tmp_path, "--model", place / "model", "--tag", "Artist=Bob", "--tag", "TITLE="]
    path = tmp_path / "a.nac"

    def tags() -> dict[str, str]:
        with PacketReader(path) as reader:
            return reader.tags

    assert codec(*encode).status == 0 and tags() == {"date": "1", "artist": "Bob"}
    assert "0 done, 1 were up to date" in codec(*encode).out
    before = path.stat().st_mtime_ns
    for words in (["--delete", "nosuch"], ["nosuch="], ["ARTIST=Bob"], ["--delete-pictures"]):
        assert codec("tag", path, *words).out == "0 changed, 1 were so already, 0 failed\n"
    assert path.stat().st_mtime_ns == before
    assert codec("tag", path, "DATE=2", "Mood=calm").status == 0
    assert tags() == {"artist": "Bob", "date": "2", "mood": "calm"}
    assert codec("tag", path, "--delete", "MOOD", "aRTIST=").status == 0
    assert tags() == {"date": "2"}


def test_bad_requests_change_nothing(codec, place, tmp_path):
    shutil.copy(place / "good.nac", tmp_path / "a.nac")
    (tmp_path / "cover.png").write_bytes(b"no picture")
    (tmp_path / "b.nac").write_bytes(b"no codes")
    before = (tmp_path / "a.nac").read_bytes()
    for status, words in (
        (BAD_INPUT, [tmp_path / "a.nac"]),
        (BAD_INPUT, ["title=Song"]),
        (BAD_INPUT, [tmp_path / "a.nac", "--picture", tmp_path / "cover.png"]),
        (FAILED, [tmp_path / "a.nac", "title=" + 20_000 * "a"]),
        (FAILED, [tmp_path / "a.nac", "=text"]),
        (FAILED, [tmp_path / "b.nac", "title=Song"]),
    ):
        ran = codec("tag", *words)
        assert ran.status == status and ran.complaint
    assert (tmp_path / "a.nac").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"a.nac", "b.nac", "cover.png"}


def test_a_link_and_permissions_stay(codec, place, tmp_path):
    path = tmp_path / "a.nac"
    shutil.copy(place / "good.nac", path)
    path.chmod(0o600)
    (tmp_path / "link.nac").symlink_to(path)
    assert codec("tag", tmp_path / "link.nac", "title=Song").status == 0
    assert (tmp_path / "link.nac").is_symlink() and path.stat().st_mode & 0o777 == 0o600
    with PacketReader(path) as reader:
        assert reader.tags["title"] == "Song"


@pytest.mark.parametrize(
    ("encoder", "container", "suffix"),
    [("flac", "flac", ".flac"), ("libmp3lame", "mp3", ".ogg"), ("aac", "ipod", ".flac"), ("libopus", "ogg", ".ogg")],
)
def test_tags_of_any_name_are_kept(codec, place, tmp_path, encoder, container, suffix):
    given = {"title": "Song", "composer": "Eve", "album_artist": "Ann & Bob", "lyrics": "la\nla", "comment": "side A"}
    source = encode_with_ffmpeg(tmp_path / f"a.{container}", noise(1, 32000), 16000, encoder, container, metadata=given)
    source = source.rename(tmp_path / ("a.m4a" if container == "ipod" else source.name))
    model = "--model", place / "model"
    assert codec("encode", source, "--out", tmp_path, *model).status == 0
    with PacketReader(tmp_path / "a.nac") as reader:
        tags = reader.tags
    assert sorted(tags.values()) == sorted(given.values()) and {"title", "composer", "comment"} <= tags.keys(), tags
    assert codec("decode", tmp_path / "a.nac", "--out", tmp_path / "out", "--suffix", suffix, *model).status == 0
    found = tinytag.TinyTag.get(tmp_path / f"out/a{suffix}").as_dict()
    assert {name: "\0".join(found[name]) for name in tags} == tags
    in_wav = codec("decode", tmp_path / "a.nac", "--out", tmp_path / "wav", *model)
    assert f"without {len(tags) - 2} tags" in in_wav.out
