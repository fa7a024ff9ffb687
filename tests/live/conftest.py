"""The service that is asked: the real one where EEZARR_LIVE_PROJECT names a project, else an emulator.

    EEZARR_LIVE_PROJECT=my-project pytest -n 0 tests/live

asks as application-default credentials (`gcloud auth application-default login`, or GOOGLE_APPLICATION_CREDENTIALS) at
EEZARR_API_URL, by default the high-volume endpoint: some hundred small requests, no export, no asset written. What it
answers is compared with what this project holds to be so; the end of the run prints all answers, and what to correct.
"""

import os

import pytest
import requests

from eezarr.emulator.thread import EmulatorThread
from eezarr.emulator.world import SyntheticWorld
from known import SCENE

PROJECT = os.environ.get("EEZARR_LIVE_PROJECT")
URL = os.environ.get("EEZARR_API_URL", "https://earthengine-highvolume.googleapis.com")
SCOPES = ("https://www.googleapis.com/auth/earthengine", "https://www.googleapis.com/auth/cloud-platform")
MOST = 300
"""Requests of a run."""

ANSWERS = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.parent.name == "live":
            item.add_marker(pytest.mark.live)


class Answers:
    """What the service said of each question."""

    def __init__(self, listed):
        self._listed = listed

    def told(self, question, answer):
        """Keep an answer to a question that nobody could answer here."""
        self._listed.append(f"{question}: {answer}")

    def as_held(self, question, answer, held, *, correct):
        """Compare an answer with what is held to be so; say what else would have to be corrected."""
        if answer == held:
            self.told(question, answer)
            return
        self._listed.append(f"{question}: {answer!r}, not {held!r}. CORRECT: {correct}")
        pytest.fail(self._listed[-1])


class Service:
    """Plain HTTP to the service: nothing of eezarr's client is between."""

    def __init__(self, url, project, token):
        self.url, self.project, self.token = url, project, token
        self.is_real = PROJECT is not None
        self.asked = 0
        self.session = requests.Session()

    def ask(self, verb, path, *, body=None, data=None, is_known=True, stream=False, **headers):
        self.asked += 1
        assert self.asked <= MOST, "too many requests"
        known = {"x-goog-user-project": self.project, "Accept-Encoding": "identity"}
        known |= {"Authorization": f"Bearer {self.token if is_known else 'none'}"}
        headers = known | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.request(
            verb,
            self.url + path,
            json=body,
            data=data,
            headers=headers,
            timeout=330,
            allow_redirects=False,
            stream=stream,
        )

    def compute(self, expression, grid, **more):
        path = f"/v1/projects/{self.project}/image:computePixels"
        return self.ask("POST", path, body={"expression": expression, "grid": grid, "fileFormat": "NPY"} | more)

    def value(self, expression):
        reply = self.ask("POST", f"/v1/projects/{self.project}/value:compute", body={"expression": expression})
        assert reply.status_code == 200, reply.text
        return reply.json()["result"]


def _real():
    import google.auth
    from google.auth.transport.requests import Request

    credentials, _ = google.auth.default(scopes=SCOPES)
    credentials.refresh(Request())
    return Service(URL, PROJECT, credentials.token)


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    if PROJECT is not None:
        yield _real()
        return
    from google.auth.transport.requests import Request
    from google.oauth2 import service_account

    with EmulatorThread(world=SyntheticWorld(aliases={"JRC/GSW1_4/GlobalSurfaceWater": SCENE})) as emulator:
        emulator.configure({"auth": {"mode": "always"}, "transfer": {"gzip": True}})
        key = emulator.write_service_account_key(tmp_path_factory.mktemp("key") / "key.json", project="my-project")
        credentials = service_account.Credentials.from_service_account_file(str(key), scopes=SCOPES)
        credentials.refresh(Request())
        yield Service(emulator.url, "my-project", credentials.token)


@pytest.fixture
def answers(request):
    return Answers(request.config.stash.setdefault(ANSWERS, []))


def pytest_terminal_summary(terminalreporter, config):
    listed = config.stash.get(ANSWERS, [])
    if listed and PROJECT is not None:
        terminalreporter.section(f"what {URL} answers")
        for line in listed:
            terminalreporter.line(line)
