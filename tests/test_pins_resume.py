"""A run that an earlier version broke off goes on as it did then; see ``test_pins.py``.

``tests/pins/run.tar.xz`` holds what goes on from it needs: of the run its recipe, curves, last checkpoint, best model
and the ids of the clips; of the data the packed arrays, since sound made anew would differ in a last bit elsewhere.
"""

import tarfile
from pathlib import Path

import soundfile

from tests.helpers.pinning import PINS, RATE, SMALLEST, assert_same_losses, losses, ran, store, stored, waveform
from tests.helpers.tiny import TINY

ARCHIVE, LOSSES = PINS / "run.tar.xz", "resumed.json"
STEPS, BROKEN_OFF = 16, 7
SETTINGS = [
    *TINY, *SMALLEST, f"--train.steps={STEPS}", "--train.validate_every=2",
    "--adversarial.weight=0.1", "--adversarial.width=2", "--adversarial.start_step=3",
]  # fmt: skip
"""With a discriminator, so that the checkpoint has the state of two optimisers."""
TERMS = {"total", "l1", "mdct_l1", "mel", "nmr", "grad_norm", "discriminator", "lr", "usage_q0", "perplexity_q0"}


def resume(folder: Path) -> list[list[str]]:
    """Unpack the stored run, let it go on, and return its losses, those before included."""
    with tarfile.open(ARCHIVE) as tar:
        tar.extractall(folder, filter="data")
    ran("train", "speech_16k", "--data", folder / "data", "--run", folder / "run", *SETTINGS)
    return losses(folder / "run", TERMS)


def test_a_stored_run_goes_on(tmp_path):
    expected = stored(LOSSES)["losses"]
    assert_same_losses(resume(tmp_path), expected)
    assert not list((tmp_path / "run").glob("model-before-*"))  # that is, validations are judged as they were


def test_the_stored_run_holds_its_own_past(tmp_path):
    with tarfile.open(ARCHIVE) as tar:
        tar.extractall(tmp_path, filter="data")
    before = losses(tmp_path / "run", TERMS)
    assert before and stored(LOSSES)["losses"][: len(before)] == before


def write(folder: Path) -> None:
    """Write the pins of this file."""
    from codec.recipe import read_recipe, write_recipe
    from tests.helpers import broken_off
    from tests.helpers.children import running, wait_for_end

    data, run = folder / "data", folder / "run"
    sound = waveform(8.0)
    for number in range(8):
        place = folder / "corpus" / f"speaker{number}"
        place.mkdir(parents=True)
        piece = sound[number * RATE :][: RATE // 2]
        soundfile.write(place / "sound.wav", piece, RATE)
    ran("prepare", folder / "corpus", "--out", data, "--ratios", "2:1:1", "--group-by", "folder", "-j1")
    for table in (data / "packed").rglob("*.csv"):
        table.write_text(table.read_text().replace(str(folder / "corpus"), "corpus"))
    write_recipe(folder / "recipe.yaml", read_recipe("speech_16k", SETTINGS))
    event = ("SIGTERM", "training_step", BROKEN_OFF - 1, False)
    with running(broken_off.train, folder / "recipe.yaml", data, run, *event) as process:
        assert wait_for_end(process) == 130
    with tarfile.open(ARCHIVE, "w:xz") as tar:
        for name in ("recipe.yaml", "metrics.csv", "trained_clips.txt", "model", "checkpoints/last.ckpt"):
            tar.add(run / name, f"run/{name}", filter=_nameless)
        for split in ("train", "val"):
            for path in sorted((data / "packed").rglob(f"{split}*")):
                tar.add(path, path.relative_to(folder).as_posix(), filter=_nameless)
        for name in ("packed.json", "shards.json"):
            tar.add(data / "packed/16000x1" / name, f"data/packed/16000x1/{name}", filter=_nameless)
    store(LOSSES, {"losses": resume(folder / "again")})


def _nameless(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Drop what depends on who made the archive, and when."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member
