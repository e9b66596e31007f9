"""Bytes that arrive in pieces."""

import io


class Dribble(io.RawIOBase):
    """Gives what it holds in pieces of the sizes told, over and over."""

    def __init__(self, data: bytes, sizes: list[int]):
        self.data, self.sizes, self.turn = io.BytesIO(data), sizes, 0

    def read(self, count: int = -1) -> bytes:
        self.turn += 1
        size = self.sizes[self.turn % len(self.sizes)]
        return self.data.read(size if count < 0 else min(count, size))
