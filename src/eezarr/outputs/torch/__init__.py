"""Stored samples as PyTorch datasets (extra `torch`). No client of Earth Engine is imported to read them.

`SampleDataset` gives any sample by its number, and a whole batch in one read: for random samplers.
`SampleStream` gives whole batches in an order of its own, each sample once an epoch over all ranks and workers, and
goes on in the middle of an epoch: `DataLoader(stream, batch_size=None)`.
"""

from eezarr.outputs.torch.dataset import SampleDataset
from eezarr.outputs.torch.stream import SampleStream

__all__ = ["SampleDataset", "SampleStream"]
