"""A wrong type that came over the wire once: nothing is stored as it, and the job can be resumed."""

import zarr

from known import CONFIGS

JOB = """
output = "out.zarr"
project = "my-project"
[image]
expression = "ndvi.json"
[grid]
crs = "EPSG:32610"
transform = [10, 0, 520000, 0, -10, 4180000]
shape = [64, 64]
[store]
chunk = 32
"""


def test_a_wrong_type_of_the_first_pixel_is_not_believed(tmp_path, forge, service):
    (tmp_path / "job.toml").write_text(JOB, encoding="utf-8")
    (tmp_path / "ndvi.json").write_text((CONFIGS / "ndvi.json").read_text(encoding="utf-8"), encoding="utf-8")
    with service.serve({}) as emulator:
        emulator.script(["npy_dtype"])
        ended = forge.run(tmp_path, "fetch", "job.toml", variables={"EEZARR_API_URL": emulator.url})
    assert ended.code == 0, ended.err
    assert zarr.open_group(tmp_path / "out.zarr", mode="r")["ndvi"].dtype == "float32"
