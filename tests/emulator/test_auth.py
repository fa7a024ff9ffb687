"""Tokens: real google-auth credentials against the emulator's endpoint, and what bad ones get."""

from __future__ import annotations

import base64
import json
import stat

import pytest
import requests
from google.auth import exceptions, external_account_authorized_user
from google.auth.transport.requests import AuthorizedSession, Request
from google.oauth2 import credentials as user_credentials
from google.oauth2 import service_account

from eezarr.emulator import auth
from eezarr.emulator.settings import AuthSettings
from eezarr.emulator.thread import EmulatorThread

SCOPES = ["https://www.googleapis.com/auth/earthengine"]
ASSET = "/v1/projects/earthengine-public/assets/TEST/A"


def key_credentials(emulator, path, scopes=SCOPES):
    key = emulator.write_service_account_key(path / "key.json", project="founders")
    return service_account.Credentials.from_service_account_file(str(key), scopes=scopes)


def error_of(response) -> tuple[int, str, str]:
    body = response.json()["error"]
    assert body["code"] == response.status_code
    return response.status_code, body["status"], body["message"]


def test_without_issued_credentials_nobody_is_asked(emulator):
    assert requests.get(emulator.url + ASSET, timeout=10).status_code == 200


def test_a_service_account_key_works_unchanged_and_is_private(emulator, tmp_path):
    credentials = key_credentials(emulator, tmp_path)
    assert stat.S_IMODE((tmp_path / "key.json").stat().st_mode) == 0o600
    assert credentials.project_id == "founders"
    with AuthorizedSession(credentials) as session:
        assert session.get(emulator.url + ASSET).json()["id"] == "TEST/A"
    assert emulator.stats().tokens_issued == 1


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer wrong", "Basic eDp5"])
def test_bad_tokens_get_the_services_401(emulator, tmp_path, header):
    key_credentials(emulator, tmp_path)
    headers = {"Authorization": header} if header else {}
    status, name, text = error_of(requests.get(emulator.url + ASSET, headers=headers, timeout=10))
    assert (status, name) == (401, "UNAUTHENTICATED")
    assert text.startswith("Request had invalid authentication credentials. Expected OAuth 2 access token")


def test_tokens_end_when_they_are_revoked_and_when_their_time_is_over(emulator, tmp_path):
    credentials = key_credentials(emulator, tmp_path)
    credentials.refresh(Request())
    headers = {"Authorization": f"Bearer {credentials.token}"}
    assert requests.get(emulator.url + ASSET, headers=headers, timeout=10).status_code == 200
    emulator.expire_tokens()
    assert requests.get(emulator.url + ASSET, headers=headers, timeout=10).status_code == 401
    emulator.configure({"auth": {"token_lifetime_s": 0}})
    credentials.refresh(Request())
    headers = {"Authorization": f"Bearer {credentials.token}"}
    assert requests.get(emulator.url + ASSET, headers=headers, timeout=10).status_code == 401


def test_google_auth_refreshes_after_a_401(emulator, tmp_path):
    with AuthorizedSession(key_credentials(emulator, tmp_path)) as session:
        assert session.get(emulator.url + ASSET).status_code == 200
        emulator.expire_tokens()
        assert session.get(emulator.url + ASSET).status_code == 200
    assert emulator.stats().count("assets.get", 401) == 1
    assert emulator.stats().tokens_issued == 2


def test_a_key_of_another_emulator_is_refused(emulator, tmp_path, world):
    key_credentials(emulator, tmp_path)
    with EmulatorThread(world=world) as other:
        foreign = json.loads(other.write_service_account_key(tmp_path / "foreign.json").read_text())
    foreign["token_uri"] = emulator.token_url
    credentials = service_account.Credentials.from_service_account_info(foreign, scopes=SCOPES)
    with pytest.raises(exceptions.RefreshError, match="Invalid JWT Signature"):
        credentials.refresh(Request())


def test_a_tampered_claim_is_refused(emulator, tmp_path):
    credentials = key_credentials(emulator, tmp_path)
    head, claims, signature = credentials._make_authorization_grant_assertion().decode().split(".")
    facts = json.loads(base64.urlsafe_b64decode(claims + "=="))
    facts["scope"] = "https://www.googleapis.com/auth/cloud-platform"
    claims = base64.urlsafe_b64encode(json.dumps(facts).encode()).rstrip(b"=").decode()
    form = {"grant_type": auth._JWT_GRANT, "assertion": f"{head}.{claims}.{signature}"}
    reply = requests.post(emulator.token_url, data=form, timeout=10)
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_grant")


def test_a_key_speaks_for_its_own_account_only(emulator, tmp_path):
    facts = json.loads(emulator.write_service_account_key(tmp_path / "key.json").read_text())
    facts["client_email"] = "another@founders.iam.gserviceaccount.com"
    credentials = service_account.Credentials.from_service_account_info(facts, scopes=SCOPES)
    with pytest.raises(exceptions.RefreshError, match="Invalid JWT Signature"):
        credentials.refresh(Request())


@pytest.mark.parametrize("assertion", ["", "a.b", "a.b.c", "é.é.é", "eyJ9.eyJ9.eyJ9"])
def test_what_is_no_jwt_is_refused(emulator, assertion):
    form = {"grant_type": auth._JWT_GRANT, "assertion": assertion}
    reply = requests.post(emulator.token_url, data=form, timeout=10)
    assert (reply.status_code, reply.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    ("claims", "text"),
    [
        ({"exp": 900.0}, "short-lived"),
        ({"iat": 1100.0}, "short-lived"),
        ({"exp": 9000.0}, "short-lived"),
        ({"aud": "https://elsewhere.example/token"}, "audience"),
        ({"scope": ""}, "scope"),
    ],
)
def test_claims_are_checked(claims, text):
    office = auth.TokenOffice(lambda: 1000.0)
    facts = {"iss": "a@b", "aud": "http://here/token", "iat": 1000.0, "exp": 2000.0, "scope": SCOPES[0]} | claims
    parts = [{"alg": "RS256"}, facts, {}]
    assertion = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts)
    form = {"grant_type": auth._JWT_GRANT, "assertion": assertion}
    with pytest.raises(auth.GrantError, match=text):
        office.grant(AuthSettings(), form, "http://here/token")
    assert office.issued == 0


def test_scopes_must_cover_earth_engine(emulator, tmp_path):
    scopes = ["https://www.googleapis.com/auth/drive"]
    with AuthorizedSession(key_credentials(emulator, tmp_path, scopes)) as session:
        reply = session.get(emulator.url + ASSET)
    assert error_of(reply) == (403, "PERMISSION_DENIED", "Request had insufficient authentication scopes.")
    assert reply.json()["error"]["details"][0]["reason"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"


def test_user_credentials_need_a_quota_project(emulator, tmp_path):
    path = emulator.write_user_credentials(tmp_path / "user.json")
    credentials = external_account_authorized_user.Credentials.from_file(str(path))
    with AuthorizedSession(credentials) as session:
        reply = session.get(emulator.url + ASSET)
        assert error_of(reply)[0] == 403
        assert "requires a quota project, which is not set by default" in error_of(reply)[2]
    path = emulator.write_user_credentials(tmp_path / "user.json", quota_project="founders")
    credentials = external_account_authorized_user.Credentials.from_file(str(path))
    with AuthorizedSession(credentials) as session:
        assert session.get(emulator.url + ASSET).status_code == 200


def test_an_authorized_user_file_serves_clients_that_heed_its_token_uri(emulator, tmp_path):
    path = emulator.write_user_credentials(tmp_path / "user.json", kind="authorized_user")
    facts = json.loads(path.read_text())
    assert facts.pop("type") == "authorized_user"
    credentials = user_credentials.Credentials(None, **facts)
    credentials.refresh(Request())
    assert credentials.valid
    assert credentials.token_uri == emulator.token_url


def test_an_unknown_refresh_token_is_refused(emulator, tmp_path):
    emulator.write_user_credentials(tmp_path / "user.json")
    credentials = user_credentials.Credentials(
        None, refresh_token="no", token_uri=emulator.token_url, client_id="i", client_secret="s"
    )
    with pytest.raises(exceptions.RefreshError, match="expired or revoked"):
        credentials.refresh(Request())


def test_projects_and_assets_can_be_denied(emulator):
    emulator.configure(
        {"auth": {"disabled_projects": ["off"], "denied_projects": ["theirs"], "denied_assets": ["*/TEST/B"]}}
    )

    def ask(project: str, asset: str = "A"):
        headers = {"x-goog-user-project": project}
        return requests.get(emulator.url + ASSET[:-1] + asset, headers=headers, timeout=10)

    assert ask("fine").status_code == 200
    assert ask("off").json()["error"]["details"][0]["reason"] == "SERVICE_DISABLED"
    assert ask("theirs").json()["error"]["details"][0]["reason"] == "USER_PROJECT_DENIED"
    name = "projects/earthengine-public/assets/TEST/B"
    text = f"Permission 'earthengine.assets.get' denied on resource '{name}' (or it may not exist)."
    assert error_of(ask("fine", "B")) == (403, "PERMISSION_DENIED", text)
    value = requests.post(f"{emulator.url}/v1/projects/off/value:compute", json={}, timeout=10)
    assert error_of(value)[0] == 403
