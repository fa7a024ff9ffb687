"""Geometry as people have it: GeoJSON, WKB and WKT, read into closed rings, and one rule for what they cover.

Rule: a polygon covers what its outer ring goes round, however often and whichever way, less what its holes go round;
several polygons cover what any of them does. Regions, sites, footprints of images and clips all follow it. Rings that
cross themselves are put in order by GEOS to just that, and named in a warning.

Coordinates are planar, and so are edges. Where x is a longitude, an edge of more than half a turn and less than a
whole one goes the other way round, as the service's own geometries do; see `antimeridian`.

No CRS is known here, and no file is opened. Shapely is imported by `shapes` and `binary` alone, which the others import
where they need them: a command without geometry does not pay for it.
"""
