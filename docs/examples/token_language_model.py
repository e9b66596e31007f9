"""Train a tiny language model on the tokens of a folder, let it speak, and write what it says as a sound.

    codec tokens speech/ --out tokens/ --flat --codebooks 2
    python token_language_model.py tokens/ --out spoken.wav

The model predicts the next id from those before it. Ids of one frame stand together, so it learns the order of the
codebooks as it learns everything else; when it speaks, only the ids of the codebook whose turn it is are allowed. A
minute on one core teaches it which ids are frequent and what follows what, not words; published models of this kind are
larger, such as J. Copet et al., "Simple and controllable music generation", 2023.
"""

import argparse
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch.nn import functional

import codec


def read_shards(folder: Path) -> tuple[list[torch.Tensor], dict]:
    """Read the ids of each channel of each file, and the metadata of the last file."""
    sequences, told = [], {}
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                data = tar.extractfile(member).read()
                if member.name.endswith(".npy"):
                    ids = torch.from_numpy(np.load(io.BytesIO(data))).long()
                    sequences += ids.reshape(-1, ids.shape[-1]).unbind()
                else:
                    told = json.loads(data)
    if told.get("axes", [""])[-1] != "ids":
        raise SystemExit(f"{folder}: no shards of ids; make them with codec tokens --flat")
    return sequences, told


class LanguageModel(torch.nn.Module):
    """Recurrent model of the next id."""

    def __init__(self, vocabulary: int, width: int):
        super().__init__()
        self.embedding = torch.nn.Embedding(vocabulary + 1, width)  # one more id, which marks the start
        self.recurrent = torch.nn.GRU(width, width, batch_first=True)
        self.head = torch.nn.Linear(width, vocabulary)

    def forward(self, ids: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        hidden, state = self.recurrent(self.embedding(ids), state)
        return self.head(hidden), state


def train(model: LanguageModel, sequences: list[torch.Tensor], frame: int, steps: int, length: int) -> list[float]:
    """Train on pieces of ``length`` ids that begin with a frame; return the loss of each step in nats per id."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    start = model.embedding.num_embeddings - 1
    whole = torch.cat(sequences)
    losses = []
    for _ in range(steps):
        first = torch.randint(max(1, (len(whole) - length) // frame), (8,)) * frame
        ids = torch.stack([whole[at : at + length] for at in first])
        before = torch.cat([torch.full_like(ids[:, :1], start), ids[:, :-1]], 1)
        loss = functional.cross_entropy(model(before)[0].flatten(0, 1), ids.flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def speak(model: LanguageModel, frames: int, codebooks: int, size: int, temperature: float) -> torch.Tensor:
    """Draw ids, in each place from the codebook whose turn it is."""
    ids, state = [torch.tensor([[model.embedding.num_embeddings - 1]])], None
    for place in range(frames * codebooks):
        scores, state = model(ids[-1], state)
        first = place % codebooks * size
        share = functional.softmax(scores[0, -1, first : first + size] / temperature, 0)
        ids.append(first + torch.multinomial(share, 1)[None])
    return torch.cat(ids[1:], 1)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tokens", type=Path, help="folder of shards that codec tokens --flat wrote")
    parser.add_argument("--out", type=Path, default=Path("spoken.wav"), help="sound to write")
    parser.add_argument("--model", default="speech_16k_v2", help="the model of the tokens")
    parser.add_argument("--steps", type=int, default=150, help="steps of training")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of the sound")
    parser.add_argument("--width", type=int, default=256, help="width of the language model")
    parser.add_argument("--temperature", type=float, default=0.9, help="below 1: likelier ids more often")
    options = parser.parse_args()

    torch.set_num_threads(1)  # for matrices this small, more threads cost more than they save
    torch.manual_seed(0)
    sequences, told = read_shards(options.tokens)
    codebooks, size = told["codebooks"], told["codebook_size"]
    model = LanguageModel(codebooks * size, options.width)
    length = min(64 * codebooks, sum(map(len, sequences)) // codebooks * codebooks)
    losses = train(model, sequences, codebooks, options.steps, length)
    print(f"{options.steps} steps, {losses[0]:.2f} → {np.mean(losses[-10:]):.2f} nats per id")

    speech = codec.load(options.model)
    ids = speak(model, round(options.seconds * told["frames_per_second"]), codebooks, size, options.temperature)
    speech_codes = speech.ids_to_codes(ids, codebooks)
    soundfile.write(options.out, speech.decode(speech_codes).numpy(), speech.sample_rate)
    print(options.out)


if __name__ == "__main__":
    main()
