"""Jobs of samples against the emulator, and an oracle that asks the emulator's world for each patch directly."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zarr
from pyproj import Transformer

from commands import run_command
from eezarr import SamplesJob, fetch_samples
from eezarr.emulator.raster import Grid
from eezarr.emulator.thread import EmulatorThread
from eezarr.emulator.world import SyntheticWorld

MIXED = "projects/eezarr/assets/mixed"


@dataclass
class Bench:
    """A folder with sites and jobs, an emulator, and its world."""

    folder: Path
    emulator: EmulatorThread
    world: SyntheticWorld

    @property
    def store(self):
        return self.folder / "out.zarr"

    @property
    def group(self):
        return zarr.open_group(self.store, mode="r")

    def sites(self, rows, name="sites.csv"):
        """Write sites: dictionaries with lon and lat, in the order given."""
        path = self.folder / name
        if path.suffix == ".csv":
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
            return rows
        features = [
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [row["lon"], row["lat"]]},
                "properties": {name: value for name, value in row.items() if name not in {"lon", "lat"}},
            }
            for row in rows
        ]
        path.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
        return rows

    def job(self, text, **changes):
        """Return the job of a TOML text; output, project and service are added."""
        path = self.folder / "job.toml"
        path.write_text(f'output = "{self.store}"\nproject = "my-project"\n{text}', encoding="utf-8")
        return SamplesJob.load(path).replaced(api_url=self.emulator.url, **changes)

    def run(self, text, **options):
        return fetch_samples(self.job(text), **options)

    def eezarr(self, *arguments):
        """Run the command line in the folder, against the emulator; return a `CompletedProcess`."""
        service = {"EEZARR_API_URL": self.emulator.url, "EARTHENGINE_PROJECT": "my-project"}
        return run_command(self.folder, *arguments, **service)

    def grid(self, sample):
        """A sample's grid as the store states it."""
        group = self.group
        height, width = group["pixels"].shape[-2:]
        transform = tuple(map(float, group["transform"][sample]))
        return Grid(crs=str(group["crs"][sample]), transform=transform, width=width, height=height)

    def planes(self, image, sample, bands):
        """The world's planes of an image on a sample's grid; `values` and `valid` of each."""
        return self.world.image(image).read(self.grid(sample), bands)

    def truth(self, image, sample, bands):
        return np.stack([plane.values for plane in self.planes(image, sample, bands)])


def on_mixed(count, seed=0, **columns):
    """Sites well inside the image of all types."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(552_000, 578_000, count), rng.uniform(4_132_000, 4_148_000, count)
    lon, lat = Transformer.from_crs("EPSG:32610", "EPSG:4326", always_xy=True).transform(x, y)
    return [
        {"name": f"s{nth}", "lon": float(lon[nth]), "lat": float(lat[nth])}
        | {column: values[nth] for column, values in columns.items()}
        for nth in range(count)
    ]
