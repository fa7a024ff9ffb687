"""Where credentials and the project are looked for, in which order."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import google.auth.credentials
import pytest

from eezarr.earthengine import tokenrequest
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


@pytest.mark.parametrize("kind", ["absent", "a folder", "not JSON", "no key", "not text"])
def test_a_variable_that_names_no_key_is_said(tmp_path, monkeypatch, kind):
    path = tmp_path / "key.json"
    if kind == "a folder":
        path.mkdir()
    elif kind != "absent":
        path.write_bytes({"not JSON": b"[", "no key": b'{"a": 1}', "not text": b"\xff"}[kind])
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    with pytest.raises(AccessDenied) as caught:
        find_credentials(home=tmp_path)
    assert str(path) in caught.value.message
    assert "GOOGLE_APPLICATION_CREDENTIALS" in caught.value.message
    assert "unset GOOGLE_APPLICATION_CREDENTIALS" in caught.value.hint


def test_a_broken_file_of_gclouds_is_said(tmp_path):
    path = tmp_path / ".config" / "gcloud" / "application_default_credentials.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(AccessDenied, match=r"application_default_credentials\.json cannot be used"):
        find_credentials(home=tmp_path)


def test_a_key_file_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "adc.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(USER).encode())
    assert find_credentials(path).refresh_token == "adc"


@pytest.fixture
def metadata(monkeypatch):
    """A Google machine's metadata server, that knows a project and a service account."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            account = "/computeMetadata/v1/instance/service-accounts/"
            texts = {
                "/computeMetadata/v1/project/project-id": b"machine-project",
                f"{account}default/?recursive=true": b'{"email": "e", "scopes": []}',
            }
            body = texts.get(self.path) or b'{"access_token": "of-the-machine", "expires_in": 3600}'
            self.send_response(200 if self.headers["Metadata-Flavor"] == "Google" else 403)
            self.send_header("Metadata-Flavor", "Google")
            self.send_header("Content-Type", "application/json" if body.startswith(b"{") else "application/text")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.server_address[1]}")
        monkeypatch.delenv("NO_GCE_CHECK", raising=False)
        yield asked
        server.shutdown()


MACHINE = """
import asyncio
from eezarr.earthengine.auth import TokenSource
from eezarr.earthengine.credentials import find_credentials, find_project
found = find_credentials()
print(find_project(None, found), asyncio.run(TokenSource(found).token()).header("Bearer"))
"""


def test_a_google_machine_has_credentials_and_a_project(tmp_path, metadata, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "127.0.0.1:1")  # which is not for what is on the machine
    found = subprocess.run([sys.executable, "-c", MACHINE], capture_output=True, text=True, check=True)
    assert found.stdout == "machine-project Bearer of-the-machine\n"


def test_the_machines_project_comes_last(tmp_path, metadata, monkeypatch):
    found = find_credentials(home=tmp_path)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "cloud")
    assert find_project(None, found) == "cloud"
    monkeypatch.setenv("EARTHENGINE_PROJECT", "own")
    assert find_project(None, found) == "own"
    assert find_project("given", found) == "given"
    assert metadata == []


def test_a_persons_credentials_do_not_take_the_machines_project(tmp_path, metadata):
    with pytest.raises(AccessDenied, match="No Google Cloud project"):
        find_project(None, find_credentials(write(tmp_path / "adc.json", USER)))


@pytest.mark.parametrize("is_silent", [False, True])
def test_a_metadata_server_that_is_not_there_is_not_waited_for(tmp_path, monkeypatch, is_silent):
    monkeypatch.setattr(tokenrequest, "_METADATA_S", 0.05)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        if is_silent:
            taken.listen()
        monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{taken.getsockname()[1]}")
        found = find_credentials(home=tmp_path)
        with pytest.raises(AccessDenied, match="No Google Cloud project"):
            find_project(None, found)


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
