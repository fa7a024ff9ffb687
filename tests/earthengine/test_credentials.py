"""Where credentials and the project are looked for, in which order."""

from __future__ import annotations

import json
from types import SimpleNamespace

import google.auth.credentials
import pytest

from eezarr.earthengine.credentials import find_credentials, find_project
from eezarr.errors import AccessDenied, InvalidInput

USER = {"type": "authorized_user", "client_id": "764086051850-x.apps", "client_secret": "c", "refresh_token": "adc"}
EE = {"refresh_token": "from-ee", "project": "517", "scopes": ["https://www.googleapis.com/auth/drive"]}


def write(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def test_a_users_file_keeps_its_own_scopes(tmp_path):
    found = find_credentials(write(tmp_path / "adc.json", USER))
    assert found.refresh_token == "adc"
    assert not found.scopes


def test_application_default_comes_before_the_earth_engine_file(tmp_path, monkeypatch):
    write(tmp_path / ".config" / "earthengine" / "credentials", EE)
    assert find_credentials(home=tmp_path).refresh_token == "from-ee"
    default = write(tmp_path / ".config" / "gcloud" / "application_default_credentials.json", USER)
    assert find_credentials(home=tmp_path).refresh_token == "adc"
    default.unlink()
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(write(tmp_path / "named.json", USER)))
    assert find_credentials(home=tmp_path).refresh_token == "adc"


def test_the_earth_engine_file_is_read_as_the_official_client_reads_it(tmp_path):
    oauth = pytest.importorskip("ee.oauth")
    write(tmp_path / ".config" / "earthengine" / "credentials", EE)
    found = find_credentials(home=tmp_path)
    assert (found.client_id, found.client_secret) == (oauth.CLIENT_ID, oauth.CLIENT_SECRET)
    assert (found.token_uri, found.quota_project_id) == (oauth.TOKEN_URI, "517")


@pytest.mark.parametrize("text", ["", "{}", "[]", "null"])
def test_a_broken_earth_engine_file_is_named(tmp_path, text):
    path = tmp_path / ".config" / "earthengine" / "credentials"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(AccessDenied, match="holds no refresh token"):
        find_credentials(home=tmp_path)


def test_no_credentials_say_how_to_get_some(tmp_path):
    with pytest.raises(AccessDenied) as caught:
        find_credentials(home=tmp_path)
    assert "gcloud auth application-default login" in caught.value.hint
    assert "GOOGLE_APPLICATION_CREDENTIALS" in caught.value.hint


@pytest.mark.parametrize("text", ["", "{}", '{"type": "service_account"}', "not json"])
def test_a_broken_key_file_is_named(tmp_path, text):
    path = tmp_path / "key.json"
    path.write_text(text)
    with pytest.raises(AccessDenied, match=r"key\.json cannot be used"):
        find_credentials(path)
    with pytest.raises(AccessDenied, match="cannot be used"):
        find_credentials(str(tmp_path / "absent.json"))


def test_given_objects():
    given = google.auth.credentials.AnonymousCredentials()
    assert find_credentials(given) is given
    assert find_credentials("anonymous") is None
    with pytest.raises(InvalidInput, match="no google-auth credentials"):
        find_credentials(42)


NAMED = SimpleNamespace(quota_project_id="quota", project_id="key")


@pytest.mark.parametrize(
    ("explicit", "environ", "credentials", "expected"),
    [
        ("given", {"EARTHENGINE_PROJECT": "ee", "GOOGLE_CLOUD_PROJECT": "gc"}, NAMED, "given"),
        (None, {"EARTHENGINE_PROJECT": "ee", "GOOGLE_CLOUD_PROJECT": "gc"}, NAMED, "ee"),
        (None, {"GOOGLE_CLOUD_PROJECT": "gc"}, NAMED, "gc"),
        (None, {}, NAMED, "quota"),
        (None, {}, SimpleNamespace(quota_project_id=None, project_id="key"), "key"),
        (None, {}, SimpleNamespace(quota_project_id="764086051850", project_id="key"), "key"),
    ],
)
def test_the_order_of_projects(explicit, environ, credentials, expected):
    assert find_project(explicit, credentials, environ=environ) == expected


def test_no_project_and_tool_projects():
    with pytest.raises(AccessDenied, match="No Google Cloud project") as caught:
        find_project(None, None, environ={})
    assert "EARTHENGINE_PROJECT" in caught.value.hint
    with pytest.raises(InvalidInput, match="Google's own tools"):
        find_project("764086051850", None, environ={})
    with pytest.raises(AccessDenied):
        find_project(None, SimpleNamespace(quota_project_id="32555940559"), environ={})


def test_tool_projects_are_the_official_clients():
    oauth = pytest.importorskip("ee.oauth")
    for project in oauth.SDK_PROJECTS:
        with pytest.raises(InvalidInput):
            find_project(project, None, environ={})
