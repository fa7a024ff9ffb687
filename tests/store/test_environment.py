"""What leads to an object store: the variables that the vendors' own tools know, and what is told where they lack."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from eezarr.errors import InvalidInput, StoreError
from eezarr.store import open_store
from eezarr.store.environment import access_to
from eezarr.store.location import locate

KEY = "c2VjcmV0"


def test_an_empty_environment_adds_nothing():
    for scheme in ("s3", "gs", "az"):
        access = access_to(scheme, {})
        assert access.config == ()
        assert not access.allows_http


@pytest.mark.parametrize("name", ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"])
def test_plain_http_needs_no_further_leave(name):
    assert access_to("s3", {name: "http://127.0.0.1:9000"}).allows_http
    assert not access_to("s3", {name: "https://s3.example.org"}).allows_http
    assert dict(access_to("s3", {name: "https://s3.example.org"}).config) == {"endpoint": "https://s3.example.org"}


def test_the_service_specific_endpoint_goes_first():
    environ = {"AWS_ENDPOINT_URL": "https://all", "AWS_ENDPOINT_URL_S3": "https://s3"}
    assert dict(access_to("s3", environ).config) == {"endpoint": "https://s3"}


def test_a_profile_is_told_before_anything_is_asked(monkeypatch):
    with pytest.raises(StoreError, match="AWS_PROFILE=work") as caught:
        access_to("s3", {"AWS_PROFILE": "work"})
    assert "export-credentials" in caught.value.hint
    monkeypatch.setenv("AWS_PROFILE", "work")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_SKIP_SIGNATURE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StoreError, match="AWS_PROFILE=work"):
        locate("s3://bucket/out.zarr")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "made-up")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "made-up")
    locate("s3://bucket/out.zarr")


@pytest.mark.parametrize("address", ["127.0.0.1:4443", "http://127.0.0.1:4443", "http://127.0.0.1:4443/"])
def test_an_emulator_of_cloud_storage_gets_no_credentials(address):
    access = access_to("gs", {"STORAGE_EMULATOR_HOST": address})
    assert access.is_anonymous
    assert access.allows_http
    key = json.loads(dict(access.config)["service_account_key"])
    assert key["gcs_base_url"] == "http://127.0.0.1:4443"
    assert key["disable_oauth"] is True


def test_a_connection_string_is_taken_apart():
    given = f"DefaultEndpointsProtocol=https;AccountName=abc;AccountKey={KEY}==;EndpointSuffix=core.windows.net"
    access = access_to("az", {"AZURE_STORAGE_CONNECTION_STRING": given, "AZURE_STORAGE_ACCOUNT_NAME": "other"})
    assert dict(access.config) == {"account_name": "abc", "account_key": f"{KEY}=="}
    assert access.endpoint is None

    given = "BlobEndpoint=http://127.0.0.1:10000/abc/;AccountName=abc;SharedAccessSignature=?sv=1&sig=x%3D"
    access = access_to("az", {"AZURE_STORAGE_CONNECTION_STRING": given})
    assert dict(access.config) == {
        "account_name": "abc",
        "sas_key": "sv=1&sig=x%3D",
        "endpoint": "http://127.0.0.1:10000/abc",
    }
    assert access.allows_http

    given = f"AccountName=abc;AccountKey={KEY};EndpointSuffix=core.chinacloudapi.cn"
    assert access_to("az", {"AZURE_STORAGE_CONNECTION_STRING": given}).endpoint == (
        "https://abc.blob.core.chinacloudapi.cn"
    )

    access = access_to("az", {"AZURE_STORAGE_CONNECTION_STRING": "UseDevelopmentStorage=true"})
    assert dict(access.config) == {"use_emulator": "true"}
    assert access.allows_http


def test_a_connection_string_without_an_account_is_told_and_not_repeated(monkeypatch):
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", f"AccountKey={KEY}")
    with pytest.raises(StoreError, match="names no account") as caught:
        locate("az://container/out.zarr")
    assert KEY not in str(caught.value)


def test_the_azure_command_lines_names_count():
    environ = {"AZURE_STORAGE_ACCOUNT": "abc", "AZURE_STORAGE_KEY": KEY}
    assert dict(access_to("az", environ).config) == {"account_name": "abc", "account_key": KEY}
    environ |= {"AZURE_STORAGE_ACCOUNT_NAME": "first", "AZURE_STORAGE_ACCOUNT_KEY": KEY}
    assert dict(access_to("az", environ).config) == {"account_name": "first"}


def test_what_a_store_lacks_is_hinted(monkeypatch, tmp_path):
    for name in ("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_CONNECTION_STRING"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StoreError, match="Account must be specified") as caught:
        locate("az://container/out.zarr")
    assert "AZURE_STORAGE_ACCOUNT_NAME" in caught.value.hint
    (tmp_path / "federated.json").write_text('{"type": "external_account", "audience": "x"}')
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "federated.json"))
    with pytest.raises(StoreError, match="external_account") as caught:
        locate("gs://bucket/out.zarr")
    assert "service account's key file" in caught.value.hint


def test_an_icechunk_url_without_icechunk_says_what_to_install(monkeypatch):
    for name in ("eezarr.store.repository_storage", "eezarr.store.repository"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, "icechunk", None)
    with pytest.raises(InvalidInput, match="needs the package icechunk") as caught:
        locate("icechunk+memory://x")
    assert "eezarr[icechunk]" in caught.value.hint


@pytest.fixture(scope="module")
def azurite(tmp_path_factory):
    """Microsoft's own emulator of Azure Storage, where npm's `azurite` is installed."""
    command = shutil.which("azurite-blob")
    if command is None:
        pytest.skip("Azurite is not installed: npm install -g azurite")
    folder = tmp_path_factory.mktemp("azurite")
    server = subprocess.Popen(
        [command, "--blobPort", "0", "--location", str(folder), "--skipApiVersionCheck", "--disableTelemetry"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        line = next(line for line in server.stdout if "successfully listens on" in line)
        yield line.rsplit(" ", 1)[1].strip()
    finally:
        server.kill()  # it would wait for the clients that keep their connections
        server.wait()
        server.stdout.close()


@pytest.mark.parametrize("url", ["az://pixels/deep/out.zarr", "icechunk+az://pixels/deep/out.ice"])
def test_a_job_in_azure(bench, azurite, monkeypatch, url):
    if url.startswith("icechunk"):
        pytest.importorskip("icechunk", reason="Icechunk is not installed: pip install icechunk")
    # The account and the key that Microsoft's documents give for Azurite.
    account = "devstoreaccount1"
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
    monkeypatch.setenv(
        "AZURE_STORAGE_CONNECTION_STRING",
        f"AccountName={account};AccountKey={key};BlobEndpoint={azurite}/{account};",
    )
    make_container(azurite, account, key)
    plan = bench.plan()
    image = bench.store_all(plan, url)
    job = open_store(url)
    assert job.is_complete
    assert list(job.verify()) == []
    np.testing.assert_array_equal(job.read(plan.tile(0))[1], bench.cut(image, plan.tile(0))["B2"])
    with pytest.raises(StoreError):
        bench.sink(plan, url.replace("pixels", "nothing"))


def make_container(address, account, key):
    """Create the container by the REST API, signed with the account's key, if it is not there."""
    import base64
    import hashlib
    import hmac
    import urllib.error
    import urllib.request
    from email.utils import formatdate

    headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-12-02"}
    canonical = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    text = f"PUT{chr(10) * 12}{canonical}/{account}/{account}/pixels\nrestype:container"
    signature = base64.b64encode(hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()).decode()
    request = urllib.request.Request(
        f"{address}/{account}/pixels?restype=container",
        method="PUT",
        headers={**headers, "Authorization": f"SharedKey {account}:{signature}", "Content-Length": "0"},
    )
    try:
        urllib.request.urlopen(request).close()
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 409:
            raise
