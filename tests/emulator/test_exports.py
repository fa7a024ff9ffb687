"""Batch exports: what is refused, what is written, and that an export leaves either all of its files or none."""

from __future__ import annotations

import gzip
import json
import struct

import numpy as np
import pytest
import requests

from eezarr.emulator.exports import source
from eezarr.emulator.settings import EmulatorSettings
from eezarr.emulator.thread import EmulatorThread

rasterio = pytest.importorskip("rasterio")

PROJECT = "projects/founders"
NATIVE = {"scaleX": 10, "scaleY": -10, "translateX": 500000, "translateY": 4200000}
TRUTH = 1000 * np.arange(48)[:, None] + np.arange(64)[None, :]


def expression(function: str, **arguments) -> dict:
    given = {name: {"constantValue": value} for name, value in arguments.items()}
    call = {"functionInvocationValue": {"functionName": function, "arguments": given}}
    return {"result": "0", "values": {"0": call}}


def bands(*names: str) -> dict:
    return expression("Image.select", bandSelectors=list(names))


class Service:
    def __init__(self, emulator, folder):
        self.emulator, self.folder = emulator, folder
        self.session = requests.Session()

    def ask(self, verb: str, path: str, body=None, **query):
        return self.session.request(verb, f"{self.emulator.url}/v1/{path}", json=body, params=query, timeout=20)

    def start(self, **body):
        return self.ask("POST", f"{PROJECT}/image:export", body)

    def refusal(self, **body) -> str:
        reply = self.start(**body)
        assert reply.status_code == 400, reply.text
        return reply.json()["error"]["message"]

    def ended(self, name: str) -> dict:
        return self.ask("POST", f"{name}:wait", {"timeout": "20s"}).json()

    def run(self, **body) -> dict:
        reply = self.start(**body)
        assert reply.status_code == 200, reply.text
        return self.ended(reply.json()["name"])

    def failure(self, **body) -> str:
        operation = self.run(**body)
        assert operation["metadata"]["state"] == "FAILED"
        assert operation["done"] is True
        assert "response" not in operation
        assert operation["error"]["code"] in (3, 12)
        return operation["error"]["message"]

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


@pytest.fixture
def service(world, tmp_path):
    folder = tmp_path / "exports"
    with EmulatorThread(world=world, settings=EmulatorSettings(export_folder=str(folder))) as emulator:
        service = Service(emulator, folder)
        yield service
        service.session.close()


def cloud(prefix: str = "scene", **options) -> dict:
    return {"cloudStorageDestination": {"bucket": "my-bucket", "filenamePrefix": prefix}, **options}


def tiff(prefix: str = "scene", **options) -> dict:
    return cloud(prefix, fileFormat="GEO_TIFF", geoTiffOptions=options)


def test_the_first_reply_says_little_and_the_last_says_all(service):
    reply = service.start(expression=bands("B1"), description="mine", fileExportOptions=tiff("a/b")).json()
    metadata = reply["metadata"]
    assert reply.keys() == {"name", "metadata"}
    assert metadata.keys() == {"@type", "type", "description", "priority", "createTime"}
    assert (metadata["type"], metadata["description"], metadata["priority"]) == ("EXPORT_IMAGE", "mine", 100)
    operation = service.ended(reply["name"])
    assert operation["done"] is True
    assert operation["response"]["@type"].endswith("ExportImageResponse")
    metadata = operation["metadata"]
    assert (metadata["state"], metadata["progress"], metadata["attempt"]) == ("SUCCEEDED", 1.0, 1)
    assert metadata["destinationUris"] == ["https://console.developers.google.com/storage/browser/my-bucket/a"]
    assert metadata["stages"][1] == {
        "displayName": "Write Files",
        "completeWorkUnits": 64 * 48,
        "totalWorkUnits": str(64 * 48),
    }
    assert metadata["createTime"] <= metadata["startTime"] <= metadata["endTime"]
    assert service.files() == ["my-bucket/a/b.tif"]


def test_a_geotiff_holds_the_grid_the_pixels_and_the_names(service):
    grid = {"dimensions": {"width": 70, "height": 50}, "affineTransform": {**NATIVE, "translateX": 499980}}
    options = tiff(noData={"floatValue": 7}, metadataKeys=["TILE", "NONE"])
    service.run(expression=bands("B1"), grid=grid, fileExportOptions=options)
    with rasterio.open(service.folder / "my-bucket/scene.tif") as file:
        assert (file.crs.to_epsg(), file.transform[:6]) == (32610, (10, 0, 499980, 0, -10, 4200000))
        assert (file.shape, file.dtypes, file.nodata) == ((50, 70), ("uint16",), 7)
        assert (file.descriptions, file.block_shapes) == (("B1",), [(256, 256)])
        assert file.tags()["TILE"] == "T10SEG"
        expected = np.full((50, 70), 7)
        expected[:48, 2:66] = (TRUTH + 1)[:, :64]
        np.testing.assert_array_equal(file.read(1), expected)


def test_blocks_do_not_change_a_pixel(service, monkeypatch):
    monkeypatch.setattr(source, "_BLOCK_BYTES", 3 * 16 * 16)
    asked = []
    read = source.ExportSource.read

    def watched(self, window):
        asked.append(window.pixels)
        return read(self, window)

    monkeypatch.setattr(source.ExportSource, "read", watched)
    service.run(expression=bands("B1"), fileExportOptions=tiff(tileSize=16))
    assert (len(asked), max(asked)) == (12, 256)
    with rasterio.open(service.folder / "my-bucket/scene.tif") as file:
        np.testing.assert_array_equal(file.read(1), TRUTH + 1)


def test_a_large_image_is_several_files_named_by_their_place(service):
    options = tiff("big", tileSize=16, tileDimensions={"width": 32, "height": 32})
    service.run(expression=bands("B1"), fileExportOptions=options)
    places = [(0, 0), (0, 32), (32, 0), (32, 32)]
    assert service.files() == [f"my-bucket/big{row:010d}-{column:010d}.tif" for row, column in places]
    for row, column in places:
        with rasterio.open(service.folder / f"my-bucket/big{row:010d}-{column:010d}.tif") as file:
            assert file.transform[:6] == (10, 0, 500000 + 10 * column, 0, -10, 4200000 - 10 * row)
            np.testing.assert_array_equal(file.read(1), (TRUTH + 1)[row : row + 32, column : column + 32])


def test_files_without_a_valid_pixel_are_left_out_if_asked(service):
    grid = {"dimensions": {"width": 96, "height": 32}, "affineTransform": NATIVE}
    options = tiff("e", tileSize=16, tileDimensions={"width": 32, "height": 32}, skipEmptyFiles=True)
    service.run(expression=bands("B1"), grid=grid, fileExportOptions=options)
    assert service.files() == ["my-bucket/e0000000000-0000000000.tif", "my-bucket/e0000000000-0000000032.tif"]


def test_a_file_for_the_cloud_is_in_its_order(service):
    grid = {"dimensions": {"width": 1100, "height": 600}, "affineTransform": NATIVE}
    service.run(expression=bands("B1"), grid=grid, fileExportOptions=tiff(cloudOptimized=True))
    with rasterio.open(service.folder / "my-bucket/scene.tif") as file:
        assert file.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert file.overviews(1)
        np.testing.assert_array_equal(file.read(1)[:48, :64], TRUTH + 1)
    assert service.files() == ["my-bucket/scene.tif"]


def test_drive_has_a_folder_and_no_paths(service):
    options = {"driveDestination": {"folder": "my/../folder", "filenamePrefix": "x/y"}, "fileFormat": "GEO_TIFF"}
    options["geoTiffOptions"] = {"tileSize": 16, "tileDimensions": {"width": 64, "height": 32}}
    operation = service.run(expression=bands("B1"), fileExportOptions=options)
    assert service.files() == [
        "Drive/my_.._folder/x_y-0000000000-0000000000.tif",
        "Drive/my_.._folder/x_y-0000000032-0000000000.tif",
    ]
    assert operation["metadata"]["destinationUris"] == ["https://drive.google.com/"]


def records(data: bytes) -> list[bytes]:
    """TFRecords, read by hand; their checksums are CRC-32C, computed here bit by bit."""
    found = []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        body = data[12 : 12 + length]
        assert data[8:12] == masked_crc(data[:8])
        assert data[12 + length : 16 + length] == masked_crc(body)
        found.append(body)
        data = data[16 + length :]
    return found


def masked_crc(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def fields(data: bytes) -> list[tuple[int, bytes]]:
    """Length-delimited fields of a protocol-buffer message."""
    found, place = [], 0
    while place < len(data):
        tag, length, shift = data[place], 0, 0
        assert tag & 7 == 2
        place += 1
        while True:
            byte = data[place]
            place += 1
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        found.append((tag >> 3, data[place : place + length]))
        place += length
    return found


def layers(example: bytes) -> dict[str, np.ndarray]:
    [(_, features)] = fields(example)
    answer = {}
    for _, entry in fields(features):
        (_, name), (_, feature) = fields(entry)
        [(kind, floats)] = fields(feature)
        [(_, packed)] = fields(floats)
        assert kind == 2
        answer[name.decode()] = np.frombuffer(packed, "<f4")
    return answer


@pytest.mark.parametrize("is_compressed", [False, True])
def test_tfrecords(service, is_compressed):
    size = {"width": 20, "height": 16}
    options = {"tileDimensions": size, "compress": is_compressed, "defaultValue": -5, "maxSizeBytes": {"value": "6000"}}
    options["marginDimensions"] = {"width": 4, "height": 2}
    target = cloud("p-", fileFormat="TF_RECORD_IMAGE", tfRecordOptions=options)
    service.run(expression=bands("B1", "B2"), fileExportOptions=target)
    suffix = ".tfrecord.gz" if is_compressed else ".tfrecord"
    # A patch is 24 x 18 pixels of two float bands, 3.5 kB: one in a file. The last 4 columns are no whole patch.
    assert service.files() == [*(f"my-bucket/p-{k:05d}{suffix}" for k in range(9)), "my-bucket/p-mixer.json"]
    mixer = json.loads((service.folder / "my-bucket/p-mixer.json").read_text())
    assert mixer == {
        "projection": {"crs": "EPSG:32610", "affine": {"doubleMatrix": [10, 0, 500000, 0, -10, 4200000]}},
        "patchDimensions": [20, 16],
        "patchesPerRow": 3,
        "totalPatches": 9,
    }
    padded = np.full((50, 68), -5.0, np.float32)
    padded[1:49, 2:66] = TRUTH
    for k in range(9):
        data = (service.folder / f"my-bucket/p-{k:05d}{suffix}").read_bytes()
        [record] = records(gzip.decompress(data) if is_compressed else data)
        found = layers(record)
        row, column = divmod(k, 3)
        wanted = padded[16 * row : 16 * row + 18, 20 * column : 20 * column + 24]
        assert list(found) == ["B1", "B2"]
        for number, name in enumerate(found, start=1):
            expected = np.where(wanted == -5, -5, wanted + number)
            np.testing.assert_array_equal(found[name].reshape(18, 24), expected)


def test_patches_with_too_many_masked_pixels_are_left_out(service):
    options = {"tileDimensions": {"width": 64, "height": 32}, "maxMaskedRatio": {"value": 0.4}}
    grid = {"dimensions": {"width": 64, "height": 64}, "affineTransform": NATIVE}
    target = cloud("m", fileFormat="TF_RECORD_IMAGE", tfRecordOptions=options)
    service.run(expression=bands("B1"), grid=grid, fileExportOptions=target)
    assert len(records((service.folder / "my-bucket/m00000.tfrecord").read_bytes())) == 1


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            {"expression": bands("B1"), "maxPixels": {"value": "3071"}},
            "Export too large: specified 3072 pixels (max: 3071). Specify higher maxPixels value if you intend to"
            " export a large area.",
        ),
        (
            {"expression": bands("B1", "B2")},
            "Exported bands must have compatible data types; found inconsistent types: UInt16 and Float32.",
        ),
        ({"expression": expression("Image.constant", value=1)}, "Unable to export unbounded image."),
        ({"expression": expression("No.such")}, "Function 'No.such' not found."),
        ({"expression": {"result": "0", "values": {"0": {"constantValue": 3}}}}, "does not evaluate to an image"),
        ({"expression": bands("B4"), "fileExportOptions": tiff(noData={"floatValue": 256})}, "no-data value 256"),
        ({"expression": bands("B1"), "grid": {"crsCode": "EPSG:4326"}}, "no EPSG:4326 here"),
        (
            {
                "expression": bands("B1"),
                "fileExportOptions": cloud(fileFormat="TF_RECORD_IMAGE", tfRecordOptions={"sequenceData": True}),
            },
            "does not write TFRecords with sequenceData",
        ),
        (
            {
                "expression": bands("B1"),
                "fileExportOptions": None,
                "assetExportOptions": {"earthEngineDestination": {"name": f"{PROJECT}/assets/x"}},
            },
            "takes in no assets",
        ),
    ],
)
def test_what_fails_only_when_it_runs(service, body, text):
    assert text in service.failure(**{"fileExportOptions": tiff(), **body})
    assert service.files() == []


def test_max_pixels_is_inclusive_in_either_spelling(service):
    for spelling in ("3072", {"value": "3072"}, 3072):
        operation = service.run(expression=bands("B1"), fileExportOptions=tiff(), maxPixels=spelling)
        assert operation["metadata"]["state"] == "SUCCEEDED"


ASSET = {"earthEngineDestination": {"name": "projects/p/assets/x"}}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"expression": None}, "Expression is required."),
        ({"fileExportOptions": None}, "Export options are required"),
        ({"assetExportOptions": ASSET}, "oneof field 'export_options' is already set"),
        ({"colour": 1}, 'Unknown name "colour"'),
        ({"fileExportOptions": tiff(speed=1)}, "Unknown name \"speed\" at 'file_export_options.geo_tiff_options'"),
        ({"fileExportOptions": cloud(fileFormat="PNG")}, "Unsupported file format: PNG"),
        ({"fileExportOptions": cloud(fileFormat="GIF")}, "ImageFileFormat"),
        ({"fileExportOptions": {"fileFormat": "GEO_TIFF"}}, "destination is required"),
        ({"fileExportOptions": cloud("../../x")}, "Invalid file name prefix"),
        ({"fileExportOptions": cloud("/etc/x")}, "Invalid file name prefix"),
        ({"fileExportOptions": {"cloudStorageDestination": {"bucket": "../x"}}}, "bucket name"),
        ({"fileExportOptions": tiff(tileDimensions={"width": 300, "height": 256})}, "multiples of the tile size (256)"),
        ({"fileExportOptions": tiff(noData={"integerValue": "3"})}, "only float_value is supported"),
        ({"requestId": "no spaces"}, "Invalid request_id"),
        ({"requestId": "x" * 61}, "Invalid request_id"),
        ({"priority": 10_000}, "between 0 and 9999"),
        ({"maxPixels": "many"}, "Invalid value at 'max_pixels' (TYPE_INT64)"),
        ({"workloadTag": "-no-"}, "workload tag"),
        ({"fileExportOptions": None, "assetExportOptions": {"pyramidingPolicy": "WORST"}}, "PyramidingPolicy"),
        ({"fileExportOptions": None, "assetExportOptions": {}}, "Invalid asset name"),
    ],
)
def test_what_is_refused_at_once(service, body, text):
    assert text in service.refusal(**{"expression": bands("B1"), "fileExportOptions": tiff(), **body})
    assert service.ask("GET", f"{PROJECT}/operations").json() == {}


@pytest.mark.parametrize("version", ["v1", "v1alpha", "v1beta"])
def test_each_version_and_wrapped_numbers(service, version):
    body = {"expression": bands("B1"), "priority": {"value": 7}, "fileExportOptions": tiff(tileSize={"value": 32})}
    url = f"{service.emulator.url}/{version}/{PROJECT}/image:export"
    reply = service.session.post(url, json=body, timeout=10).json()
    assert reply["metadata"]["priority"] == 7
    service.ended(reply["name"])
    with rasterio.open(service.folder / "my-bucket/scene.tif") as file:
        assert file.block_shapes == [(32, 32)]


def test_readers_may_not_export_and_drive_wants_its_own_scope(service, tmp_path):
    from google.auth.transport.requests import Request
    from google.oauth2 import service_account

    key = str(service.emulator.write_service_account_key(tmp_path / "key.json"))
    to_drive = {"driveDestination": {"filenamePrefix": "x"}, "fileFormat": "GEO_TIFF"}

    def status(scopes: list[str], options: dict) -> int:
        full = [f"https://www.googleapis.com/auth/{scope}" for scope in scopes]
        credentials = service_account.Credentials.from_service_account_file(key, scopes=full)
        credentials.refresh(Request())
        service.session.headers["Authorization"] = f"Bearer {credentials.token}"
        return service.start(expression=bands("B1"), fileExportOptions=options).status_code

    assert status(["earthengine.readonly"], tiff()) == 403
    assert status(["earthengine"], tiff()) == 200
    assert status(["cloud-platform"], to_drive) == 403
    assert status(["cloud-platform", "drive"], to_drive) == 200


def test_without_a_folder_exports_go_where_they_are_deleted_with_the_emulator(world):
    with EmulatorThread(world=world) as emulator:
        folder = emulator.export_folder
        Service(emulator, folder).run(expression=bands("B1"), fileExportOptions=tiff())
        assert (folder / "my-bucket/scene.tif").exists()
    assert not folder.exists()
