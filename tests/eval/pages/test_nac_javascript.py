"""The decoder of the page in Node, against the repository's files and its reader: two programs by one document."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from codec.bitstream.loss_concealment import Concealment
from codec.bitstream.range_coder import RangeCoder
from codec.bitstream.reader import PacketReader
from codec.errors import UserError
from codec.model.frequency_tables import FrequencyTables, to_frequencies
from codec.pretrained.checkpoint import load_codec
from codec.pretrained.onnx_backend import CONSTANTS, TABLES
from codec.pretrained.onnx_constants import write_constants
from codec.pretrained.registry import find_model
from tests import fuzz_nac
from tests.helpers.node import run_jobs

PINS = Path(__file__).parents[2] / "pins"
MUTANTS = 150


@pytest.mark.parametrize(("name", "place"), [("speech_16k_v2", "speech_16k_v2"), ("fsq", str(PINS / "fsq"))])
def test_codes_of_the_stored_files_of_all_versions(tmp_path, name, place):
    write_constants(load_codec(find_model(place)), tmp_path, {})
    paths = sorted(PINS.glob(f"{name}*.nac"))
    assert len(paths) == 3
    expected = np.load(PINS / f"{name}.npz")["stored"]
    for path, found in zip(paths, run_jobs(tmp_path, [{"job": "read", "path": path} for path in paths])):
        assert found["header"]["version"] == (3 if "version_3" in path.name else 2)
        np.testing.assert_array_equal(np.reshape(found["codes"], expected.shape), expected)
        assert (found["lost"], found["truncatedAt"], found["repaired"]) == ([], None, False)
        assert found["kbps"] == sorted(found["kbps"]) and found["kbps"][-1] > 1


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Constants and tables with scores and frequencies at random, and a coder with them."""
    folder, random_numbers = tmp_path_factory.mktemp("tables"), torch.Generator().manual_seed(0)
    tables = FrequencyTables(3, fuzz_nac.SIZE, classes=5)
    for table, spread in ((tables.frequencies, 2.0), (tables.counts, 1.0)):
        table.copy_(to_frequencies(torch.exp(spread * torch.randn(table.shape, generator=random_numbers).double())))
    for scores in (tables.votes, tables.count_votes):
        scores.copy_(torch.randint(-9, 10, scores.shape, generator=random_numbers))
    (folder / TABLES).write_bytes(save(dict(tables.state_dict())))
    header = fuzz_nac.HEADER
    constants = {"sample_rate": header.model_rate, "latent_hop": header.latent_hop, "hop": header.latent_hop}
    constants |= {"fingerprint": header.fingerprint, "codebooks": 3, "codebook_size": fuzz_nac.SIZE, "bits_per_code": 6}
    (folder / CONSTANTS).write_text(json.dumps(constants))
    return folder, RangeCoder(tables.to_numpy())


def read_in_python(path: Path, coder: RangeCoder) -> tuple[np.ndarray, list[int]] | None:
    """Return the codes, with lost ones concealed, and the numbers of the lost frames; None for a refused file."""
    try:
        with PacketReader(path) as reader:
            head, lost = reader.header, []
            if (head.model_rate, head.latent_hop) != (16000, 320) or head.codebooks > 3:
                return None  # those of another model
            conceal = Concealment(head.channels, head.codebooks, 50.0)
            codes = [np.zeros((head.channels, head.codebooks, 0), int)]
            for packet in reader.packets(fuzz_nac.FIXED if head.live else coder):
                if packet.codes is None:
                    lost += range(packet.first, packet.first + packet.frames)
                    codes.append(conceal.fill_in(packet.frames))
                else:
                    codes.append(conceal.received(packet.codes))
        return np.concatenate(codes, -1), lost
    except UserError:
        return None


def test_intact_and_damaged_files_are_read_as_python_reads_them(model, tmp_path, monkeypatch):
    """Of all profiles and versions: codes, lost frames, concealment, and which files are refused."""
    folder, coder = model
    monkeypatch.setattr(fuzz_nac, "CODER", coder)
    rng, good = random.Random(5), fuzz_nac.originals(tmp_path)
    paths = [tmp_path / f"{number}.nac" for number in range(len(good) + MUTANTS)]
    for number, path in enumerate(paths):
        path.write_bytes(good[number] if number < len(good) else fuzz_nac.mutant(rng.choice(good), rng))
    differ, damaged = [], 0
    for number, found in enumerate(run_jobs(folder, [{"job": "read", "path": path} for path in paths])):
        expected = read_in_python(paths[number], coder)
        if expected is None or "error" in found:
            same = expected is None and "error" in found
        else:
            codes, lost = expected
            damaged += bool(lost)
            same = [frame for span in found["lost"] for frame in range(*span)] == lost and codes.size == len(
                found["codes"]
            )
            same = same and np.array_equal(codes.ravel(), found["codes"])
        if not same:
            differ.append(number)
    assert not [number for number in differ if number < len(good)]
    assert len(differ) <= MUTANTS // 50, differ  # files that contradict themselves may be refused or not
    assert damaged > 10


@pytest.mark.parametrize("frames", [0, 7, 255, 3300])
def test_python_reads_what_javascript_writes(model, tmp_path, frames):
    """Short files, archives, and archives with an index."""
    folder, coder = model
    codes = np.random.default_rng(0).integers(0, fuzz_nac.SIZE, (2, 3, frames))
    recording = {"channels": 2, "codebooks": 3, "frames": frames, "samples": max(0, 320 * (frames - 1))}
    path = tmp_path / "a.nac"
    run_jobs(folder, [{"job": "write", "path": path, "recording": recording, "codes": codes.ravel().tolist()}])
    with PacketReader(path) as reader:
        found = [np.zeros((2, 3, 0), int), *reader.codes(coder)]
        assert reader.header.short == (frames <= 255)
    np.testing.assert_array_equal(np.concatenate(found, -1), codes)
