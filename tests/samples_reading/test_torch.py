"""The PyTorch datasets: run where torch is installed (`pip install eezarr[torch]`)."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pytest

from eezarr.errors import InvalidInput
from samples_reading.stores import make_samples

torch = pytest.importorskip("torch")
from torch.utils.data import DataLoader  # noqa: E402

from eezarr.outputs.torch import SampleDataset, SampleStream  # noqa: E402
from eezarr.store import BandSummary  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),  # of forks beside threads
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # more workers than cores
]


@pytest.fixture
def made(tmp_path):
    return make_samples(tmp_path / "s.zarr", count=103, shard=16, failed=(3, 9), target=True, mask="shared")


def loaded(stream, workers=0, context=None):
    context = context if workers else None
    loader = DataLoader(stream, batch_size=None, num_workers=workers, multiprocessing_context=context)
    return [batch["index"].tolist() for batch in loader]


def test_a_dataset_has_the_chosen_samples_that_are_there(made):
    dataset = SampleDataset(made.path, split="train", label="water", normalise=None)
    expected = [n for n in range(103) if n not in (3, 9) and n % 4 != 3 and n % 3 == 1]
    assert len(dataset) == len(expected)
    for number, sample in enumerate(expected):
        item = dataset[number]
        assert set(item) == {"pixels", "mask", "target", "label", "id", "index"}
        np.testing.assert_array_equal(item["pixels"], made.pixels[sample])
        np.testing.assert_array_equal(item["mask"], made.mask[sample] == 1)
        np.testing.assert_array_equal(item["target"], made.target[sample])
        assert (item["label"], item["id"], item["index"]) == (1, f"site-{sample}", sample)
    assert dataset.classes == ("forest", "water")
    for outside in (-1, len(dataset)):
        with pytest.raises(IndexError):
            dataset[outside]


def test_normalised_pixels_are_float32_and_raw_ones_as_stored(made):
    sample = made.stored[5]
    mean, std = np.array([90, 97, 104.0])[:, None, None], np.array([40, 43, 46.0])[:, None, None]
    expected = np.where(made.mask[sample] == 1, (made.pixels[sample] - mean) / std, 0)
    found = SampleDataset(made.path)[5]["pixels"]
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, expected, rtol=3e-7)
    assert SampleDataset(made.path, normalise=None)[5]["pixels"].dtype == torch.uint16


def test_the_default_collate_makes_batches_of_one_read(made, monkeypatch):
    dataset = SampleDataset(made.path, normalise=None)
    reads = []
    pixels = type(dataset.store).pixels
    monkeypatch.setattr(
        type(dataset.store), "pixels", lambda self, which: reads.append(len(which)) or pixels(self, which)
    )
    order = torch.Generator().manual_seed(0)
    batches = list(DataLoader(dataset, batch_size=32, shuffle=True, generator=order))
    assert reads == [32, 32, 32, 5]
    assert sorted(n for batch in batches for n in batch["index"].tolist()) == made.stored.tolist()
    for batch in batches:
        index = batch["index"].numpy()
        np.testing.assert_array_equal(batch["pixels"], made.pixels[index])
        assert batch["id"] == [f"site-{n}" for n in index]
        assert batch["label"].tolist() == [[0, 1, -100][n % 3] for n in index]


def test_numbers_are_labels_that_losses_take(tmp_path):
    made = make_samples(tmp_path / "s.zarr", labels=(0.5, 1.5))
    assert SampleDataset(made.path)[1]["label"].dtype == torch.float32
    made = make_samples(tmp_path / "n.zarr", labels=(4, 5))
    assert SampleDataset(made.path)[1]["label"].dtype == torch.int64


def test_a_transform_has_each_item(made):
    dataset = SampleDataset(made.path, transform=lambda item: {"twice": item["index"] * 2})
    assert [item["twice"].item() for item in dataset.__getitems__([4, 1])] == [10, 2]
    stream = SampleStream(made.path, batch_size=50, shuffle=False, transform=lambda batch: {"first": batch["id"][0]})
    assert [batch["first"] for batch in stream] == ["site-0", "site-52", "site-102"]


def test_torchgeos_names(made):
    dataset = SampleDataset(made.path, style="torchgeo")
    item = dataset[5]
    sample = int(made.stored[5])
    assert set(item) == {"image", "mask", "label", "crs", "bounds"}
    assert item["mask"].dtype == torch.int64
    np.testing.assert_array_equal(item["mask"], made.target[sample])
    left = 500000 + 60 * sample
    assert item["bounds"].tolist() == [left, 4200000 - 60, left + 50, 4200000]
    assert item["crs"] == f"EPSG:326{10 + sample % 2}"
    assert next(iter(DataLoader(dataset, batch_size=4)))["bounds"].shape == (4, 4)


@pytest.mark.parametrize("context", ["fork", "spawn"])
def test_workers_read_what_the_process_itself_reads(context, made):
    dataset = SampleDataset(made.path)
    expected = torch.stack([item["pixels"] for item in dataset.__getitems__(list(range(101)))])
    loader = DataLoader(dataset, batch_size=25, num_workers=2, multiprocessing_context=context)
    assert torch.equal(torch.cat([batch["pixels"] for batch in loader]), expected)
    stream = SampleStream(made.path, batch_size=10, seed=2)
    assert loaded(stream, 2, context) == loaded(stream)


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("buffer", [None, 32])
def test_each_sample_comes_once_over_ranks_and_workers(workers, buffer, made):
    for ranks in (1, 3):
        streams = [
            SampleStream(made.path, batch_size=8, seed=1, buffer=buffer, rank=rank, ranks=ranks)
            for rank in range(ranks)
        ]
        every = [loaded(stream, workers, "fork") for stream in streams]
        assert {len(batches) for batches in every} == {len(streams[0])}
        assert sorted(n for batches in every for batch in batches for n in batch) == made.stored.tolist()


def test_batches_are_the_same_for_any_number_of_workers_and_others_in_each_epoch(made):
    seen = []
    for epoch in range(3):
        stream = SampleStream(made.path, batch_size=8, seed=1)
        stream.set_epoch(epoch)
        alone = loaded(stream)
        assert alone == loaded(stream, 1, "fork") == loaded(stream, 3, "fork")
        seen.append(alone)
    assert seen[0] != seen[1] != seen[2] != seen[0]


def test_a_batch_holds_what_its_samples_do(made):
    for batch in SampleStream(made.path, batch_size=8, normalise=None):
        index = batch["index"].numpy()
        np.testing.assert_array_equal(batch["pixels"], made.pixels[index])
        np.testing.assert_array_equal(batch["target"], made.target[index])
        assert batch["id"] == [f"site-{n}" for n in index]


def test_persistent_workers_follow_the_epoch(made):
    stream = SampleStream(made.path, batch_size=8, seed=1)
    loader = DataLoader(stream, batch_size=None, num_workers=2, persistent_workers=True, multiprocessing_context="fork")
    for epoch in (0, 1, 4):
        stream.set_epoch(epoch)
        assert [batch["index"].tolist() for batch in loader] == loaded(stream)


@pytest.mark.parametrize(("before", "after"), [(0, 0), (0, 2), (2, 0), (2, 3)])
@pytest.mark.parametrize("taken", [1, 6, 13])
def test_an_epoch_goes_on_where_it_was_broken_off(before, after, taken, made):
    def stream():
        return SampleStream(made.path, batch_size=8, seed=1, buffer=20)

    whole = stream()
    whole.set_epoch(2)
    expected = loaded(whole)
    whole.set_epoch(3)
    following = loaded(whole)

    broken = stream()
    broken.set_epoch(2)
    context = "fork" if before else None
    batches = iter(DataLoader(broken, batch_size=None, num_workers=before, multiprocessing_context=context))
    had = [next(batches)["index"].tolist() for _ in range(taken)]
    state = broken.state_dict(taken if before else None)
    del batches

    resumed = stream()
    resumed.load_state_dict(state)
    assert resumed.epoch == 2
    resumed.set_epoch(2)  # as a loop over epochs does
    assert had + loaded(resumed, after, "fork") == expected
    resumed.set_epoch(3)
    assert loaded(resumed, after, "fork") == following


@pytest.mark.parametrize("workers", [0, 2])
def test_a_place_serves_one_iteration(workers, made):
    stream = SampleStream(made.path, batch_size=8, seed=1)
    whole = loaded(stream)
    state = stream.state_dict(4)
    stream.load_state_dict(state)
    loader = DataLoader(
        stream, batch_size=None, num_workers=workers, multiprocessing_context="fork" if workers else None
    )
    passes = [[batch["index"].tolist() for batch in loader] for _ in range(3)]
    assert passes == [whole[4:], whole, whole]


def test_what_was_loaded_counts_no_more_once_it_has_served(made):
    stream = SampleStream(made.path, batch_size=8, seed=1)
    whole = loaded(stream)
    stream.load_state_dict(stream.state_dict(4))
    assert loaded(stream, 2, "fork") == whole[4:]
    batches = iter(DataLoader(stream, batch_size=None, num_workers=2, multiprocessing_context="fork"))
    for _ in range(3):
        next(batches)
    stream.load_state_dict(stream.state_dict(3))
    del batches
    assert loaded(stream, 2, "fork") == whole[3:]


def test_a_place_is_its_own_epochs(made):
    stream = SampleStream(made.path, batch_size=8, seed=1)
    stream.load_state_dict(stream.state_dict(4))
    stream.set_epoch(1)
    assert len(loaded(stream)) == len(stream)


def test_it_can_be_broken_off_again_and_at_the_very_end(made):
    stream = SampleStream(made.path, batch_size=8, seed=1)
    whole = loaded(stream)
    parts = []
    for taken in (3, 5, 4, 1):
        batches = iter(stream)
        parts += [next(batches)["index"].tolist() for _ in range(taken)]
        state = stream.state_dict()
        stream = SampleStream(made.path, batch_size=8, seed=1)
        stream.load_state_dict(state)
    assert parts == whole
    assert loaded(stream) == []
    assert loaded(stream) == whole


def test_a_state_is_taken_for_what_it_is(made, tmp_path):
    stream = SampleStream(made.path, batch_size=8, seed=1)
    state = stream.state_dict()
    others = [
        {"batch_size": 9},
        {"seed": 2},
        {"split": "train"},
        {"shuffle": False},
        {"buffer": 4},
        {"rank": 0, "ranks": 2},
    ]
    for other in others:
        with pytest.raises(InvalidInput, match="with other samples"):
            SampleStream(made.path, **{"batch_size": 8, "seed": 1, **other}).load_state_dict(state)
    make_samples(tmp_path / "t.zarr", count=103, shard=16, failed=(3, 9), seed=5)
    with pytest.raises(InvalidInput):
        SampleStream(tmp_path / "t.zarr", batch_size=8, seed=1).load_state_dict(state)
    SampleStream(made.path, batch_size=8, seed=1, normalise=None, bands=["B2"]).load_state_dict(state)


def test_with_workers_only_the_loop_knows_how_far_it_is(made):
    stream = SampleStream(made.path, batch_size=8)
    loaded(stream, 2, "fork")
    with pytest.raises(InvalidInput, match="read ahead") as caught:
        stream.state_dict()
    assert "batches=n" in caught.value.hint


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")
def test_torchdatas_loader_resumes_by_itself(made):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaders = pytest.importorskip("torchdata.stateful_dataloader")

    def loader():
        stream = SampleStream(made.path, batch_size=8, seed=1)
        return loaders.StatefulDataLoader(stream, batch_size=None, num_workers=2, multiprocessing_context="fork")

    whole = [batch["index"].tolist() for batch in loader()]
    for taken in (1, 4, 13):
        first = loader()
        batches = iter(first)
        had = [next(batches)["index"].tolist() for _ in range(taken)]
        state = first.state_dict()
        del batches
        second = loader()
        second.load_state_dict(state)
        assert had + [batch["index"].tolist() for batch in second] == whole
        assert [batch["index"].tolist() for batch in second] == whole


def test_a_small_network_learns_what_can_be_told_apart(tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.normal(1000, 100, (120, 3, 8, 8))
    pixels[::3, :, ::2] += 150  # stripes, which no mean shows
    pixels[::3, :, 1::2] -= 150
    pixels, labels = pixels.astype(np.uint16), ("striped", "plain", "plain")
    made = make_samples(tmp_path / "s.zarr", count=120, size=(8, 8), pixels=pixels, labels=labels)
    figures = {band: BandSummary(mean=1000.0, std=150.0) for band in ("B2", "B3", "B4")}
    torch.manual_seed(0)
    layers = torch.nn
    network = layers.Sequential(
        layers.Conv2d(3, 8, 3), layers.ReLU(), layers.AdaptiveAvgPool2d(1), layers.Flatten(), layers.Linear(8, 2)
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    stream = SampleStream(made.path, batch_size=15, split="train", normalise=figures)
    losses = []
    for epoch in range(12):
        stream.set_epoch(epoch)
        for batch in DataLoader(stream, batch_size=None):
            loss = torch.nn.functional.cross_entropy(network(batch["pixels"]), batch["label"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert np.mean(losses[:3]) > 0.5
    assert np.mean(losses[-3:]) < 0.05
    held_out = next(iter(DataLoader(SampleDataset(made.path, split="val", normalise=figures), batch_size=100)))
    assert (network(held_out["pixels"]).argmax(1) == held_out["label"]).all()


def test_importing_it_imports_no_client_of_earth_engine():
    script = (
        "import sys, eezarr.outputs.torch\n"
        "print([n for n in ('aiohttp', 'google.auth', 'pydantic', 'requests', 'typer') if n in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "[]\n"


def test_datasets_are_those_of_pytorch(made):
    dataset, stream = SampleDataset(made.path), SampleStream(made.path, batch_size=4)
    assert isinstance(dataset, torch.utils.data.Dataset)
    assert isinstance(stream, torch.utils.data.IterableDataset)
    first, second = torch.utils.data.random_split(dataset, [0.5, 0.5])
    assert len(first) + len(second) == len(dataset)


USERS_FILE = """\
from torch.utils.data import DataLoader, Dataset

from eezarr.outputs.torch import SampleDataset, SampleStream


def loader(path: str) -> DataLoader[object]:
    dataset: Dataset[object] = SampleDataset(path, split="train", normalise=None)
    return DataLoader(dataset, batch_size=8)


def count(path: str) -> int:
    return len(SampleDataset(path)) + len(SampleStream(path, batch_size=8))
"""


TORCH = """\
from typing import Any

def __getattr__(name: str) -> Any: ...
"""
TORCH_DATA = """\
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

_T = TypeVar("_T", covariant=True)

class Dataset(Generic[_T]):
    def __getitem__(self, index: Any) -> _T: ...

class IterableDataset(Dataset[_T], Iterable[_T]):
    def __iter__(self) -> Iterator[_T]: ...

class DataLoader(Generic[_T]):
    def __init__(self, dataset: Dataset[_T], batch_size: int | None = 1) -> None: ...

def __getattr__(name: str) -> Any: ...
"""


@pytest.fixture
def strictly_checked(tmp_path):
    """Checks a user's file as `mypy --strict` does, with what torch declares of datasets; all of torch takes minutes.

    That our classes fit torch's own declarations is for the type check of this package.
    """
    pytest.importorskip("mypy")
    data = tmp_path / "stubs" / "torch" / "utils" / "data"
    data.mkdir(parents=True)
    (data / "__init__.pyi").write_text(TORCH_DATA, encoding="utf-8")
    for folder in (data.parent, data.parent.parent):
        (folder / "__init__.pyi").write_text(TORCH, encoding="utf-8")

    def check(text):
        (tmp_path / "train.py").write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "train.py"]
        return subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | {"MYPYPATH": str(tmp_path / "stubs")},
            capture_output=True,
            text=True,
            check=False,
        )

    return check


@pytest.mark.once
def test_a_users_file_passes_a_strict_type_check(strictly_checked):
    ended = strictly_checked(USERS_FILE)
    assert ended.returncode == 0, ended.stdout
    ended = strictly_checked(USERS_FILE.replace("dataset: Dataset[object]", "dataset: int"))
    assert "Incompatible types in assignment" in ended.stdout
