"""Tables that several tests make."""

import json

import numpy as np
from shapely.geometry import mapping

from eezarr.samples import Attributes, SiteColumns, SiteTable
from eezarr.samples.geojson import read_geojson


def names(values):
    column = np.empty(len(values), dtype=np.object_)
    column[:] = values
    return column


def sites(places, *, ids=None, groups=None, splits=None, crs="EPSG:4326"):
    places = np.asarray(places, dtype=np.float64).reshape(-1, 2)
    ids = names([str(n) for n in range(len(places))] if ids is None else ids)
    facts = Attributes(
        ids=ids,
        groups=ids if groups is None else names(groups),
        splits=None if splits is None else names(splits),
    )
    return SiteTable(crs=crs, x=places[:, 0].copy(), y=places[:, 1].copy(), attributes=facts)


def polygons(shapes, *, crs=None, label=None):
    """Shapely geometries by id; labels by id."""
    features = [
        {"type": "Feature", "properties": {"id": name, "class": (label or {}).get(name)}, "geometry": mapping(shape)}
        for name, shape in shapes.items()
    ]
    text = json.dumps({"type": "FeatureCollection", "features": features})
    return read_geojson(text, SiteColumns(id="id", label="class"), crs)
