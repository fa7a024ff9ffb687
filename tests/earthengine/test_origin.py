"""The origin of pixels: one service by all its hosts, and others apart."""

import pytest

from eezarr.earthengine.address import Address
from eezarr.earthengine.origin import may_be_origin, origin_of

GOOGLE = "https://earthengine.googleapis.com"


@pytest.mark.parametrize(
    "url",
    [
        "https://earthengine.googleapis.com",
        "https://earthengine-highvolume.googleapis.com/",
        "https://earthengine-highvolume.googleapis.com:443",
        "https://EarthEngine.googleapis.com",
        "https://earthengine.mtls.googleapis.com",
        "https://earthengine.us-central1.rep.googleapis.com",
        "https://us-central1-earthengine.googleapis.com",
        "https://content-earthengine.googleapis.com",
    ],
)
def test_the_service_is_one_by_all_its_hosts(url):
    assert origin_of(Address(url)) == GOOGLE


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://gateway.example:8443/ee/", "https://gateway.example:8443/ee"),
        ("https://Gateway.Example:443", "https://gateway.example"),
        ("http://127.0.0.1:8085", "http://127.0.0.1:8085"),
        ("http://[::1]:8085", "http://[::1]:8085"),
        ("https://earthengine.googleapis.com.evil.example", "https://earthengine.googleapis.com.evil.example"),
        ("https://notearthengine.googleapis.com", "https://notearthengine.googleapis.com"),
    ],
)
def test_others_are_told_by_scheme_host_and_port(url, origin):
    assert origin_of(Address(url)) == origin


def test_an_emulator_is_told_by_its_world_and_not_by_its_port():
    first, second = Address("http://127.0.0.1:1000"), Address("http://localhost:2000")
    assert origin_of(first, "eezarr-emulator/zero") == origin_of(second, "eezarr-emulator/zero") == "emulator zero"
    assert origin_of(first, "eezarr-emulator/noise") == "emulator noise"
    assert may_be_origin(second, "emulator zero")


def test_another_machine_is_no_emulator_whatever_it_says():
    assert origin_of(Address(GOOGLE), "eezarr-emulator/zero") == GOOGLE
    assert not may_be_origin(Address(GOOGLE), "emulator zero")
