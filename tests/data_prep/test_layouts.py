"""Trees with the exact names of public corpora; files are empty, since nothing is decoded to recognise a layout."""

import gzip
import json
from pathlib import Path

import pytest

from codec.errors import UserError
from data_prep.sources import find_audio
from tests.helpers.corpora import files_by_group, touch_files

CORPORA = {
    # name: (files, groups with their numbers of files, domain)
    "LibriSpeech family": (
        [f"LibriSpeech/dev-clean/{s}/{b}/{s}-{b}-{n:04d}.flac" for s, b in ((84, 121123), (84, 121550), (174, 50561)) for n in range(3)],  # noqa: E501
        {"84": 6, "174": 3}, "speech",
    ),
    "LibriSpeech family ": (  # LibriTTS
        [f"LibriTTS/test-clean/1089/{b}/1089_{b}_{n:06d}_000000.wav" for b in (134686, 134691) for n in range(2)],
        {"1089": 4}, "speech",
    ),
    "LibriSpeech family  ": (  # MLS
        [f"mls_polish/train/audio/{s}/{b}/{s}_{b}_{n:06d}.flac" for s, b in ((6758, 5929), (6758, 13135), (8758, 8338)) for n in range(2)],  # noqa: E501
        {"6758": 4, "8758": 2}, "speech",
    ),
    "VCTK": (
        [f"wav48_silence_trimmed/{s}/{s}_{n:03d}_mic{m}.flac" for s in ("p225", "s5") for n in (1, 2) for m in (1, 2)],
        {"p225": 4, "s5": 4}, "speech",
    ),
    "VCTK ": ([f"vctk/p{s}_{n:03d}.wav" for s in (225, 226) for n in range(1, 4)], {"p225": 3, "p226": 3}, "speech"),
    "VoxCeleb": (
        [f"wav/id{s}/{v}/0000{n}.wav" for s, v in ((10001, "1zcIwhmdeo4"), (10001, "7gWzIy6yIIk"), (10002, "_-xVkgjlK1k")) for n in (1, 2)],  # noqa: E501
        {"id10001": 4, "id10002": 2}, "speech",
    ),
    "VoxCeleb ": (["dev/aac/id00012/21Uxsk56VDQ/00001.m4a", "dev/aac/id00012/2DLq_Kkc1r8/00016.m4a"], {"id00012": 2}, "speech"),  # noqa: E501
    "AISHELL": ([f"data_aishell/wav/train/S0{s}/BAC009S0{s}W012{n}.wav" for s in (150, 151) for n in (1, 2)], {"S0150": 2, "S0151": 2}, "speech"),  # noqa: E501
    "AISHELL-3": ([f"train/wav/SSB0005/SSB0005000{n}.wav" for n in (1, 2)], {"SSB0005": 2}, "speech"),
    "Speech Commands": (
        ["bed/00176480_nohash_0.wav", "cat/00176480_nohash_0.wav", "cat/004ae714_nohash_0.wav"],
        {"00176480": 2, "004ae714": 1}, "speech",
    ),
    "TIMIT": (["TRAIN/DR1/FCJF0/SA1.WAV", "TRAIN/DR1/FCJF0/SX37.WAV", "TEST/DR4/MBNS0/SI1220.WAV"], {"FCJF0": 2, "MBNS0": 1}, "speech"),  # noqa: E501
    "ESC-50": (
        ["audio/1-100032-A-0.wav", "audio/1-100210-A-36.wav", "audio/1-100210-B-36.wav", "meta/esc50.csv"],
        {"freesound/100032": 1, "freesound/100210": 2}, "general",
    ),
    "UrbanSound8K": (["audio/fold1/101415-3-0-2.wav", "audio/fold1/101415-3-0-3.wav", "audio/fold2/102105-3-0-0.wav"], {"freesound/101415": 2, "freesound/102105": 1}, "general"),  # noqa: E501
    "MUSDB18": (
        [f"{part}/{song}/{stem}.wav" for part, song in (("train", "A Band - A Song"), ("test", "Other - Piece")) for stem in ("mixture", "drums", "bass", "other", "vocals")],  # noqa: E501
        {"A Band - A Song": 5, "Other - Piece": 5}, "music",
    ),
    "MUSDB18 ": (["train/A Band - A Song.stem.mp4", "test/Other - Piece.stem.mp4"], {"A Band - A Song": 1, "Other - Piece": 1}, "music"),  # noqa: E501
    "NSynth": (
        ["nsynth-test/audio/bass_electronic_018-022-100.wav", "nsynth-test/audio/bass_electronic_018-023-025.wav", "nsynth-test/audio/synth_lead_synthetic_000-058-050.wav", "nsynth-test/examples.json"],  # noqa: E501
        {"bass_electronic_018": 2, "synth_lead_synthetic_000": 1}, "music",
    ),
    "GTZAN": (["genres/blues/blues.00000.wav", "genres/blues/blues.00001.wav"], {"blues.00000": 1, "blues.00001": 1}, "music"),  # noqa: E501
    "Slakh2100": (["train/Track00001/mix.flac", "train/Track00001/stems/S00.flac", "test/Track01876/mix.flac"], {"Track00001": 2, "Track01876": 1}, "music"),  # noqa: E501
    "MedleyDB": (
        ["Audio/A_B/A_B_MIX.wav", "Audio/A_B/A_B_STEMS/A_B_STEM_01.wav", "Audio/A_B/A_B_RAW/A_B_RAW_01_01.wav"],
        {"A_B": 3}, "music",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CORPORA)
@pytest.mark.parametrize("above", ["", "corpora/here/"])
def test_corpora_are_recognised_by_their_names(tmp_path: Path, name: str, above: str) -> None:
    files, wanted, domain = CORPORA[name]
    touch_files(tmp_path / above, files)
    touch_files(tmp_path, ["plain/x.wav"] * bool(above))  # another folder beside the nested corpus
    content, groups = files_by_group(tmp_path)
    (corpus,) = content.corpora
    assert corpus.layout.name == name.strip()
    assert {group: len(members) for group, members in groups.items() if group not in ("plain", "plain/x.wav")} == wanted
    assert {entry.domain for entry in content.entries if entry.path.parent.name != "plain"} == {domain}
    assert len(content.entries) == sum(wanted.values()) + bool(above)


def test_the_documentation_names_every_corpus() -> None:
    text = (Path(__file__).parents[2] / "docs/data.md").read_text()
    assert [name for name in CORPORA if name.strip() not in text] == []


def test_two_microphones_and_stems_are_one_recording(tmp_path: Path) -> None:
    touch_files(tmp_path / "vctk", CORPORA["VCTK"][0])
    _, groups = files_by_group(tmp_path / "vctk", rule="file")
    assert groups["p225_001"] == ["p225_001_mic1.flac", "p225_001_mic2.flac"] and len(groups) == 4
    for name in ("MUSDB18", "ESC-50"):
        touch_files(tmp_path / name, CORPORA[name][0])
        _, groups = files_by_group(tmp_path / name, rule="file")
        assert {group: len(members) for group, members in groups.items()} == CORPORA[name][1]


def test_libri_sources_name_archive_and_subset_wherever_one_begins(tmp_path: Path) -> None:
    touch_files(tmp_path, CORPORA["LibriSpeech family"][0])
    for start in ("", "LibriSpeech", "LibriSpeech/dev-clean", "LibriSpeech/dev-clean/84"):
        content, groups = files_by_group(tmp_path / start)
        assert {entry.source for entry in content.entries} == {"LibriSpeech/dev-clean"}
        assert "84" in groups


def test_a_large_folder_of_other_names_is_plain(tmp_path: Path) -> None:
    touch_files(
        tmp_path, [f"one/2024-01-{day:02d}.wav" for day in range(1, 20)] + ["two/p225_001.wav", "two/notes.txt"]
    )
    content, groups = files_by_group(tmp_path)
    assert set(groups) == {"one", "p225"} and len(groups["one"]) == 19 and groups["p225"] == ["p225_001.wav"]
    assert content.left_out == {}


def test_lj_speech(tmp_path: Path) -> None:
    names = [f"LJ{passage:03d}-{n:04d}" for passage in (1, 2, 50) for n in range(1, 4)]
    touch_files(tmp_path / "LJSpeech-1.1", [f"wavs/{name}.wav" for name in names])
    (tmp_path / "LJSpeech-1.1/metadata.csv").write_text(
        "".join(f'{name}|He said, "no|He said, "no\n' for name in names)
    )
    for source in (tmp_path, tmp_path / "LJSpeech-1.1", tmp_path / "LJSpeech-1.1/wavs"):
        content, groups = files_by_group(source)
        assert {group: len(members) for group, members in groups.items()} == {"LJ001": 3, "LJ002": 3, "LJ050": 3}
        assert {entry.domain for entry in content.entries} == {"speech"}


def test_corpora_in_the_form_of_lj_speech_are_grouped_by_file(tmp_path: Path) -> None:
    touch_files(tmp_path, [f"wavs/take_{n}.wav" for n in range(6)])
    (tmp_path / "metadata.csv").write_text("".join(f"take_{n}|some words\n" for n in range(6)))
    content, groups = files_by_group(tmp_path)
    assert len(groups) == 6 and content.corpora[0].layout.name == "LJSpeech form"


def test_common_voice(tmp_path: Path) -> None:
    language = tmp_path / "cv-corpus-17.0/pl"
    touch_files(language, [f"clips/common_voice_pl_{n}.mp3" for n in range(6)])
    header = "client_id\tpath\tsentence_id\tsentence\tup_votes\tlocale\n"
    rows = [f'{"abc"[n % 3] * 128}\tcommon_voice_pl_{n}.mp3\tx\tHe said  "no {n}\t2\tpl\n' for n in range(5)]
    (language / "validated.tsv").write_text(header + "".join(rows[:4]))
    (language / "other.tsv").write_text(header + rows[4])
    for source in (tmp_path, language, language / "clips"):
        content, groups = files_by_group(source)
        sizes = sorted(len(members) for members in groups.values())
        assert sizes == [1, 1, 2, 2]  # the clip that no table names is alone
        assert len(groups["a" * 128]) == 2 and {entry.domain for entry in content.entries} == {"speech"}
        spoken = {entry.path.stem[-1]: (entry.text, entry.language) for entry in content.entries}
        assert spoken == {**{f"{n}": (f'He said "no {n}', "pl") for n in range(5)}, "5": ("", "")}


def test_transcripts_of_librispeech(tmp_path: Path) -> None:
    book = tmp_path / "LibriSpeech/dev-clean/84/121123"
    touch_files(book, [f"84-121123-000{n}.flac" for n in range(3)])
    (book / "84-121123.trans.txt").write_text("84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT IN LESS\n")
    for source in (tmp_path, tmp_path / "LibriSpeech", book):
        content, groups = files_by_group(source)
        assert [entry.text for entry in content.entries] == ["GO DO YOU HEAR", "BUT IN LESS", ""]
        assert list(groups) == ["84"]


def test_fsd50k_with_and_without_its_uploaders(tmp_path: Path) -> None:
    touch_files(tmp_path, ["FSD50K.dev_audio/64760.wav", "FSD50K.dev_audio/64761.wav", "FSD50K.eval_audio/37199.wav"])
    _, groups = files_by_group(tmp_path)
    assert set(groups) == {"freesound/64760", "freesound/64761", "freesound/37199"}
    (tmp_path / "FSD50K.metadata").mkdir()
    info = {"64760": {"title": "a", "uploader": "bob"}, "64761": {"title": "b", "uploader": "bob"}}
    (tmp_path / "FSD50K.metadata/dev_clips_info_FSD50K.json").write_text(json.dumps(info))
    _, groups = files_by_group(tmp_path)
    assert {name: len(members) for name, members in groups.items()} == {"freesound user bob": 2, "freesound/37199": 1}


def test_kaldi_and_espnet(tmp_path: Path) -> None:
    touch_files(
        tmp_path / "recipe", ["downloads/a1.wav", "downloads/a2.wav", "downloads/b1.wav", "downloads/unlisted.wav"]
    )
    data = tmp_path / "recipe/data/train"
    data.mkdir(parents=True)
    (data / "wav.scp").write_text("a-1 downloads/a1.wav\na-2 downloads/a2.wav\nb-1 downloads/b1.wav\n")
    (data / "utt2spk").write_text("a-1 a\na-2 a\nb-1 b\n")
    for source in (data, data / "wav.scp"):
        content, groups = files_by_group(source)
        assert groups == {"a": ["a1.wav", "a2.wav"], "b": ["b1.wav"]}
        assert all(entry.path.is_file() and entry.domain == "speech" for entry in content.entries)
    (data / "utt2spk").write_text("u1 a\nu2 a\nu3 b\nu4 b\n")
    (data / "segments").write_text("u1 a-1 0 1\nu2 a-2 0 1\nu3 a-2 1 2\nu4 b-1 0 1\n")
    assert files_by_group(data)[1] == {"a": ["a1.wav"], "a-2": ["a2.wav"], "b": ["b1.wav"]}  # a conversation is a group


@pytest.mark.parametrize(
    "line", ["u1 sph2pipe -f wav x.sph |", "u1 cat x.wav |", "u1 raw_wav.1.ark:1034", "u1 -", "u1"]
)
def test_commands_and_archives_of_kaldi_are_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "wav.scp").write_text(f"u0 x.wav\n{line}\n")
    with pytest.raises(UserError, match="line 2") as refusal:
        find_audio([tmp_path])
    assert "\n" not in str(refusal.value)


def recording(name: str, path: str, kind: str = "file") -> dict[str, object]:
    sources = [{"type": kind, "channels": [0], "source": path}]
    return {"id": name, "sources": sources, "sampling_rate": 16000, "num_samples": 16000, "duration": 1.0}


@pytest.mark.parametrize("packed", [False, True])
def test_lhotse(tmp_path: Path, packed: bool) -> None:
    touch_files(tmp_path, ["audio/r1.wav", "audio/r2.wav", "audio/r3.wav"])
    recordings = [recording(f"r{n}", f"audio/r{n}.wav") for n in (1, 2, 3)]
    segments = [
        {"id": f"s{n}", "recording_id": f"r{n}", "start": 0.0, "duration": 1.0, "channel": 0, "speaker": "xy"[n // 3]}
        for n in (1, 2, 3)
    ]
    cuts = [
        {"id": "c", "start": 0.1, "duration": 0.5, "channel": 0, "type": "MonoCut", "recording": r, "supervisions": [s]}
        for r, s in zip(recordings, segments, strict=True)
    ]
    manifests = tmp_path / "manifests"
    manifests.mkdir()

    def write(name: str, values: list[dict[str, object]]) -> None:
        text = "".join(json.dumps(value) + "\n" for value in values).encode()
        (manifests / f"{name}.jsonl{'.gz' * packed}").write_bytes(gzip.compress(text) if packed else text)

    wanted = {"x": ["r1.wav", "r2.wav"], "y": ["r3.wav"]}
    write("c_cuts_train", cuts)  # type: ignore[arg-type]
    assert files_by_group(manifests)[1] == wanted
    write("c_recordings_train", recordings)
    write("c_supervisions_train", segments)
    content, groups = files_by_group(manifests)
    assert groups == wanted and {entry.domain for entry in content.entries} == {"speech"}
    write("c_recordings_train", [recording("r1", "sox x.wav -t wav - |", "command")])
    with pytest.raises(UserError, match="command"):
        find_audio([manifests])
    with pytest.raises(UserError, match="supervisions"):
        find_audio([next(manifests.glob("*supervisions*"))])


def test_nemo(tmp_path: Path) -> None:
    touch_files(tmp_path, ["wav/1.wav", "wav/2.wav", "wav/3.wav"])
    lines = [{"audio_filepath": f"wav/{n}.wav", "duration": 1.0, "text": "", "speaker": n // 2} for n in (1, 2, 3)]
    (tmp_path / "train_manifest.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for source in (tmp_path, tmp_path / "train_manifest.json"):
        assert files_by_group(source)[1] == {"0": ["1.wav"], "1": ["2.wav", "3.wav"]}


def test_another_manifest_json_is_no_list(tmp_path: Path) -> None:
    touch_files(tmp_path, ["a.wav", "b.wav"])
    (tmp_path / "manifest.json").write_text('{\n  "name": "an app"\n}\n')
    assert len(files_by_group(tmp_path)[1]) == 2


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_hugging_face_metadata(tmp_path: Path, form: str) -> None:
    touch_files(tmp_path, ["train/data/1.wav", "train/data/2.wav", "train/data/3.wav", "train/extra.wav"])
    rows = [("data/1.wav", "p"), ("data/2.wav", "p"), ("data/3.wav", "q")]
    if form == "csv":
        text = ",file_name,speaker_id\n" + "".join(f"{n},{name},{who}\n" for n, (name, who) in enumerate(rows))
    else:
        text = "".join(json.dumps({"file_name": name, "speaker_id": who}) + "\n" for name, who in rows)
    (tmp_path / f"train/metadata.{form}").write_text(text)
    content, groups = files_by_group(tmp_path)
    assert groups == {"p": ["1.wav", "2.wav"], "q": ["3.wav"]}
    assert content.corpora[0].unlisted == 1


def test_several_corpora_in_one_folder(tmp_path: Path) -> None:
    for name in ("VoxCeleb", "NSynth", "ESC-50"):
        touch_files(tmp_path / name.lower(), CORPORA[name][0])
    touch_files(tmp_path, ["own/speaker1/a.wav", "own/speaker2/b.wav"])
    content, groups = files_by_group(tmp_path)
    assert {corpus.layout.name for corpus in content.corpora} == {"VoxCeleb", "NSynth", "ESC-50"}
    assert {"id10001", "bass_electronic_018", "freesound/100210", "own/speaker1", "own/speaker2"} <= set(groups)
    plain = find_audio([tmp_path], plain=True)
    assert plain.corpora == () and len(plain.entries) == len(content.entries)


@pytest.mark.parametrize("start", ["", "LibriSpeech", "LibriSpeech/dev-clean"])
def test_librispeech_with_transcripts(tmp_path: Path, start: str) -> None:
    folders = [
        f"LibriSpeech/dev-clean/{book.replace('-', '/')}/{book}" for book in ("84-121123", "84-121550", "174-50561")
    ]
    audio = [f"{folder}-{number:04d}.flac" for folder in folders for number in range(2)]
    touch_files(tmp_path, [*audio, *(f"{folder}.trans.txt" for folder in folders), "LibriSpeech/SPEAKERS.TXT"])
    content, groups = files_by_group(tmp_path / start)
    assert {(entry.source, entry.domain) for entry in content.entries} == {("LibriSpeech/dev-clean", "speech")}
    assert {group: len(files) for group, files in groups.items()} == {"84": 4, "174": 2}


def test_libritts_with_transcripts(tmp_path: Path) -> None:
    clips = [f"LibriTTS/test-clean/1089/134686/1089_134686_{number:06d}_000000" for number in range(3)]
    touch_files(tmp_path, [f"{clip}{suffix}" for clip in clips for suffix in (".wav", ".normalized.txt")])
    entries = find_audio([tmp_path]).entries
    assert len(entries) == 3
    assert {(entry.group, entry.source) for entry in entries} == {("1089", "LibriTTS/test-clean")}
