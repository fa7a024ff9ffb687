"""Asset ids and resource names; the official client's own conversion is the oracle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eezarr.earthengine.names import asset_id, asset_name, project_name
from eezarr.errors import InvalidInput

IDS = [
    ("COPERNICUS/S2/X", "projects/earthengine-public/assets/COPERNICUS/S2/X"),
    ("users/me/x", "projects/earthengine-legacy/assets/users/me/x"),
    ("projects/p/x", "projects/earthengine-legacy/assets/projects/p/x"),
    ("projects/my-project/assets/x/y", "projects/my-project/assets/x/y"),
    ("projects/earthengine-public/assets/X", "projects/earthengine-public/assets/X"),
]


@pytest.mark.parametrize(("asset", "name"), IDS)
def test_an_id_has_one_name(asset, name):
    cloud_api = pytest.importorskip("ee._cloud_api_utils")
    assert asset_name(asset) == name == cloud_api.convert_asset_id_to_asset_name(asset)


@given(st.lists(st.text("abcXYZ019_-", min_size=1, max_size=8), min_size=1, max_size=5))
def test_there_and_back(segments):
    asset = "/".join(segments)
    assert asset_id(asset_name(asset)) == asset


@pytest.mark.parametrize(
    "asset",
    [
        "",
        "/",
        "a//b",
        "/a",
        "a/",
        "../x",
        "a/../../projects/q:export",
        "a/./b",
        "a b",
        "a?x=1",
        "a#b",
        "a%2e",
        "a:b",
        "a\n",
    ],
)
def test_what_would_change_the_url_is_refused(asset):
    with pytest.raises(InvalidInput, match="not an asset id"):
        asset_name(asset)


@pytest.mark.parametrize("project", ["my-project-1", "123456", "example.com:my-project"])
def test_projects(project):
    assert project_name(project) == f"projects/{project}"


@pytest.mark.parametrize("project", ["", "My Project", "a/b", "../x", "a:b:c", "p?x"])
def test_what_is_no_project(project):
    with pytest.raises(InvalidInput, match="not a Google Cloud project"):
        project_name(project)
