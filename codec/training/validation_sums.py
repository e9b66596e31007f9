"""Sums over the batches of a validation, and the means that come of them."""

from collections.abc import Mapping

import torch
from torch import Tensor

from codec.model.processes import ONE_PROCESS, Processes
from codec.training.metrics_log import TRAINING_EVALUATION, VALIDATION

EVALUATION_SPLITS = (TRAINING_EVALUATION, VALIDATION)
"""The splits that each validation is made on, in the order of its data loaders."""


class _SplitSums:
    def __init__(self) -> None:
        self.batches = 0
        self.terms: dict[str, Tensor] = {}

    def add(self, terms: Mapping[str, Tensor]) -> None:
        self.batches += 1
        for term, value in terms.items():
            self.terms[term] = self.terms[term] + value if term in self.terms else value

    def means(self) -> dict[str, Tensor]:
        return {term: value / self.batches for term, value in self.terms.items()}


class ValidationSums:
    """Loss terms of both evaluation splits, and counts of the codes of the validation clips.

    Args:
        codebook_size: number of entries of each codebook
        processes: those that share each batch evenly
    """

    def __init__(self, codebook_size: int, processes: Processes = ONE_PROCESS) -> None:
        self.codebook_size, self.processes = codebook_size, processes
        self._splits = {split: _SplitSums() for split in EVALUATION_SPLITS}
        self._code_counts: Tensor | None = None

    def add_losses(self, split: str, terms: Mapping[str, Tensor]) -> None:
        """Add the losses of a batch.

        Args:
            split: one of :data:`EVALUATION_SPLITS`
            terms: values by name, each a scalar
        """
        self._splits[split].add(terms)

    def add_codes(self, codes: Tensor) -> None:
        """Count the codes of a batch of validation clips.

        Args:
            codes: ``[batch, codebooks, frames]``
        """
        rows = codes.transpose(0, 1).flatten(1)
        counts = torch.stack([torch.bincount(row, minlength=self.codebook_size) for row in rows]).float()
        self._code_counts = counts if self._code_counts is None else self._code_counts + counts

    def mean_losses(self, split: str) -> dict[str, Tensor]:
        """Average the losses over the batches.

        Args:
            split: one of :data:`EVALUATION_SPLITS`

        Returns:
            Means over all processes by name.
        """
        means = self._splits[split].means()
        return dict(zip(means, self.processes.mean(list(means.values()))))

    def codebook_usage(self) -> Tensor:
        """Return the share of the entries of each codebook that occurred.

        Returns:
            ``[codebooks]``, relative to the entries that could occur: all, or as many as there were frames.
        """
        counts = self._all_counts()
        return (counts > 0).sum(1) / counts.sum(1).clamp(max=counts.shape[1])

    def codebook_perplexity(self) -> Tensor:
        """Return the perplexity of the codes: two to the power of their entropy in bits.

        Returns:
            ``[codebooks]``, from 1 to the codebook size.
        """
        counts = self._all_counts()
        shares = counts / counts.sum(1, keepdim=True)
        return torch.exp(-torch.xlogy(shares, shares).sum(1))

    def _all_counts(self) -> Tensor:
        assert self._code_counts is not None, "no validation batch was counted"
        return self.processes.sum(self._code_counts)
