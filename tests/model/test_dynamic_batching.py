"""Dynamic batching: files coded concurrently against the same files one by one."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from codec.batch.decode import decode_batch
from codec.batch.encode import encode_batch
from codec.batch.jobs import BatchOptions
from codec.batch.threads import run_in_threads
from codec.batch.tokenize import encode_tokens
from codec.coding.options import CodingOptions, DecodingOptions
from codec.errors import UserError
from codec.model.backend import BlockOutputs, join_arrays, split_streams
from codec.model.codec import Codec
from codec.model.dynamic_batching import MANY, BatchingStopped, DynamicBatcher, batched
from codec.model.streaming import BLOCK
from codec.pretrained import checkpoint
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.registry import ModelFinder, load_model
from tests.helpers.tiny import tiny_model

LANES = (3, 8)


def make(path: Path, samples: int, rate: int = 16000, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(samples + channels).normal(0, 0.05, (samples, channels))
    soundfile.write(path, noise * np.linspace(0, 1, samples)[:, None], rate)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def lanes_left() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread is not threading.main_thread() and not thread.daemon]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory, codec) -> Path:
    """From nothing to several blocks, whole ones too, at several rates, of several channels; and what is no sound."""
    folder = tmp_path_factory.mktemp("sounds")
    block = BLOCK * codec.config.latent_hop
    whole = block - codec.config.hop  # latents reach half a frame beyond
    lengths = (0, 1, 700, block // 7, block // 2, whole, whole + 1, block, 2 * block, 5 * block // 2)
    for number, samples in enumerate(lengths):
        make(folder / f"mono/{number}.wav", samples)
    for number, (rate, channels) in enumerate(((16000, 2), (44100, 1), (8000, 5), (22050, 2), (16000, 5))):
        make(folder / f"others/{number}.flac", (number + 1) * block // 3, rate, channels)
    (folder / "bad.wav").write_text("no sound")
    return folder


@pytest.mark.parametrize("kbps", [None, 0.4])
def test_files_side_by_side_have_the_bytes_that_each_has_alone(tmp_path, sounds, codec, kbps):
    alone = encode_batch([sounds], tmp_path / "nac1", LoadedModel(codec), CodingOptions(kbps=kbps))
    decode_batch([tmp_path / "nac1"], tmp_path / "wav1", LoadedModel(codec))
    assert len(alone.reports) == 15 and [one.path.name for one in alone.failures] == ["bad.wav"]
    for lanes in LANES:
        batch = encode_batch(
            [sounds],
            tmp_path / f"nac{lanes}",
            LoadedModel(codec),
            CodingOptions(kbps=kbps),
            BatchOptions(concurrent_files=lanes),
        )
        assert contents(tmp_path / f"nac{lanes}") == contents(tmp_path / "nac1")
        assert batch.failures == alone.failures
        assert [one.source for one in batch.reports] == [one.source for one in alone.reports]
        assert not decode_batch(
            [tmp_path / "nac1"],
            tmp_path / f"wav{lanes}",
            LoadedModel(codec),
            DecodingOptions(),
            BatchOptions(concurrent_files=lanes),
        ).failures
        assert contents(tmp_path / f"wav{lanes}") == contents(tmp_path / "wav1")


def test_tokens_side_by_side_are_those_of_each_alone(tmp_path, sounds, codec):
    alone = encode_tokens([sounds], tmp_path / "1", LoadedModel(codec), per_shard=6)
    for lanes in LANES:
        batch = encode_tokens(
            [sounds], tmp_path / f"{lanes}", LoadedModel(codec), BatchOptions(concurrent_files=lanes), per_shard=6
        )
        assert contents(tmp_path / f"{lanes}") == contents(tmp_path / "1")
        assert batch.failures == alone.failures and len(batch.failures) == 1
    decode_batch([tmp_path / "1"], tmp_path / "wav1", LoadedModel(codec))
    decode_batch(
        [tmp_path / "1"], tmp_path / "wav3", LoadedModel(codec), DecodingOptions(), BatchOptions(concurrent_files=3)
    )
    assert contents(tmp_path / "wav1") == contents(tmp_path / "wav3")


def test_files_of_several_models_are_decoded_side_by_side_and_each_is_loaded_once(tmp_path, codec, model, monkeypatch):
    other = tiny_model(tmp_path / "other", seed=1)
    for number in range(6):
        source = make(tmp_path / f"in/{number}.wav", 20_000 + 9_000 * number)
        encode_batch([source], tmp_path / "nac", LoadedModel(codec) if number % 2 else load_model(str(other)))
    decode_batch([tmp_path / "nac"], tmp_path / "1", ModelFinder([model, other]))
    loaded = []

    def slowly(place: Path) -> Codec:
        loaded.append(place)
        time.sleep(0.2)
        return load_codec(place)

    load_codec = checkpoint.load_codec
    monkeypatch.setattr(checkpoint, "load_codec", slowly)
    assert not decode_batch(
        [tmp_path / "nac"],
        tmp_path / "6",
        ModelFinder([model, other]),
        DecodingOptions(),
        BatchOptions(concurrent_files=6),
    ).failures
    assert contents(tmp_path / "1") == contents(tmp_path / "6") and sorted(loaded) == sorted([model, other])


@pytest.fixture
def computed(monkeypatch) -> list[tuple[int, int]]:
    """Filled with how many streams and samples each block had that a codec analysed."""
    seen: list[tuple[int, int]] = []
    analyse = Codec.analyse

    def counted(self, wave, *state):
        seen.append(tuple(wave.shape))
        assert torch.get_num_threads() == 2 and torch.is_inference_mode_enabled()
        return analyse(self, wave, *state)

    monkeypatch.setattr(Codec, "analyse", counted)
    torch.set_num_threads(2)
    yield seen
    torch.set_num_threads(1)


def test_blocks_of_files_side_by_side_are_computed_together(tmp_path, codec, computed):
    block = BLOCK * codec.config.latent_hop
    for number in range(6):
        make(tmp_path / f"in/{number}.wav", 5 * block // 2, 16000, channels=1 + number // 3)
    encode_batch([tmp_path / "in"], tmp_path / "1", LoadedModel(codec))
    streams = lambda: [count for count, _ in computed]  # noqa: E731
    assert streams() == 9 * [1] + 9 * [2]
    computed.clear()
    encode_batch(
        [tmp_path / "in"], tmp_path / "3", LoadedModel(codec), CodingOptions(), BatchOptions(concurrent_files=3)
    )
    assert streams() == 3 * [3] + 3 * [6]
    computed.clear()
    encode_tokens([tmp_path / "in"], tmp_path / "6", LoadedModel(codec), BatchOptions(concurrent_files=6), per_shard=6)
    assert streams() == 3 * [9]


@pytest.mark.parametrize(
    ("error", "raised", "says"),
    [
        (ZeroDivisionError("unheard of"), ZeroDivisionError, "unheard of"),
        (torch.OutOfMemoryError("tried in vain\nto allocate"), UserError, r"^3 files .*vain\); use a smaller --batch$"),
    ],
)
def test_errors_of_no_single_file_end_the_batch(tmp_path, codec, monkeypatch, error, raised, says):
    analyse, calls = Codec.analyse, []

    def fails_later(self, wave, *state):
        calls.append(wave)
        if len(calls) == 3:
            raise error
        return analyse(self, wave, *state)

    monkeypatch.setattr(Codec, "analyse", fails_later)
    for number in range(5):
        make(tmp_path / f"in/{number}.wav", 5 * BLOCK * codec.config.latent_hop + number)
    with pytest.raises(raised, match=says):
        encode_batch(
            [tmp_path / "in"], tmp_path / "out", LoadedModel(codec), CodingOptions(), BatchOptions(concurrent_files=3)
        )
    assert len(calls) == 3 and not list((tmp_path / "out").iterdir()) and not lanes_left()


class Doubling:
    """A step whose output is twice its block, and whose state counts the streams it was computed with."""

    def initial_state(self, streams: int) -> BlockOutputs:
        return (np.zeros(streams),)

    def empty_outputs(self, streams: int) -> BlockOutputs:
        return (np.zeros((streams, 0)),)

    def __call__(self, block: np.ndarray, state: BlockOutputs) -> tuple[BlockOutputs, BlockOutputs]:
        if (block < 0).any():
            raise ValueError(f"negative among {len(block)}")
        return (2 * block,), (state[0] + len(block),)

    def join_states(self, states: Sequence[BlockOutputs]) -> BlockOutputs:
        return join_arrays(states)

    def split_state(self, state: BlockOutputs, sizes: Sequence[int]) -> list[BlockOutputs]:
        return split_streams(state, sizes)


DOUBLING = Doubling()


def compute(streams: int = 1, length: int = 1, value: float = 1.0) -> tuple[list, list]:
    """Return the output and the state of one block."""
    (output,), (state,) = batched(DOUBLING, np.full((streams, length), value), DOUBLING.initial_state(streams), length)
    return output.tolist(), state.tolist()


@pytest.mark.parametrize(
    "lengths, together",
    [
        ((70, 71, 96, 97, 65, 40), [(1, 64), (1, 128), (4, 96)]),  # of 65 to 96 frames, of 97 to 128, and of 33 to 64
        (MANY * [72], [(MANY, 72)]),  # not padded
        ((MANY - 1) * [72], [(MANY - 1, 96)]),
    ],
)
def test_blocks_of_similar_lengths_are_computed_together(tmp_path, codec, computed, lengths, together):
    hop = codec.config.latent_hop
    for number, frames in enumerate(lengths):
        make(tmp_path / f"in/{number}.wav", frames * hop - hop)
    encode_batch([tmp_path / "in"], tmp_path / "1", LoadedModel(codec))
    computed.clear()
    batch = BatchOptions(concurrent_files=len(lengths))
    encode_batch([tmp_path / "in"], tmp_path / "all", LoadedModel(codec), CodingOptions(), batch)
    assert contents(tmp_path / "1") == contents(tmp_path / "all")
    assert sorted(computed) == [(streams, frames * hop) for streams, frames in together]


def test_closing_ends_all_at_their_next_block_and_progress_is_heard_in_the_caller():
    heard, begun, left = [], [], []

    def work(job: int, progress) -> int:
        begun.append(job)
        try:
            for _ in range(job):
                progress(1.0)
                compute()
        finally:
            left.append(job)
        return 2 * job

    def progress(job: int, seconds: float) -> None:
        assert threading.current_thread() is threading.main_thread() and seconds == 1.0
        heard.append(job)

    ended = run_in_threads(work, [3, 10**9, 10**9, 5], 3, progress)
    assert next(ended) == (3, 6)
    ended.close()
    assert sorted(begun) == sorted(left) and not lanes_left() and heard.count(3) == 3
    assert dict(run_in_threads(work, [1, 2, 3, 0, 4], 3, progress)) == {1: 2, 2: 4, 3: 6, 0: 0, 4: 8}


# --- the batcher itself ---------------------------------------------------------------------------


def test_blocks_of_one_kind_meet_and_share_their_errors_alone():
    """Rows: streams. Blocks of two lengths, and of the shorter one negative."""
    batcher = DynamicBatcher(4)

    def lane(streams: int, length: int, value: float):
        with batcher.concurrent_file():
            try:
                return compute(streams, length, value)
            except ValueError as error:
                return str(error)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lane, (1, 2, 1, 3), (8, 8, 5, 5), (1.0, 2.0, -1.0, 3.0)))
    for result, streams, value in zip(found[:2], (1, 2), (1.0, 2.0)):
        assert result == (streams * [8 * [2 * value]], streams * [3])
    assert found[2:] == 2 * ["negative among 4"]


def test_lanes_that_have_left_are_not_waited_for_and_those_that_wait_can_be_stopped():
    batcher = DynamicBatcher(3)
    first, last = threading.Event(), threading.Event()

    def leaves() -> None:
        with batcher.concurrent_file():
            first.wait()
        last.set()

    def waits() -> int:
        with batcher.concurrent_file():
            compute()
            last.wait()
            (streams_of_two,) = compute()[1]
            compute()
            return streams_of_two
        return -1

    with ThreadPoolExecutor(3) as threads:
        others = [threads.submit(waits), threads.submit(waits)]
        leaving = threads.submit(leaves)
        first.set()
        leaving.result(timeout=60)
        assert [one.result(timeout=60) for one in others] == [2, 2]
    batcher = DynamicBatcher(2)
    with ThreadPoolExecutor(1) as threads:
        one = threads.submit(waits)
        time.sleep(0.05)
        batcher.stop()
        assert one.result(timeout=60) == -1
    with pytest.raises(BatchingStopped):
        batcher.check()
    assert compute() == ([[2.0]], [1.0])
