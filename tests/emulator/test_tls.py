"""The emulator by HTTPS, as the service speaks: in a thread, as a fixture, as a command; and ports that are taken."""

from __future__ import annotations

import socket
import subprocess
import sys

import certifi
import pytest
import requests

from eezarr.emulator.thread import EmulatorThread


def test_in_a_thread_it_is_trusted_by_its_authority_alone():
    with EmulatorThread(tls=True) as emulator:
        assert emulator.url.startswith("https://127.0.0.1:")
        assert emulator.token_url.startswith("https://")
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{emulator.url}/$discovery/rest", timeout=10, verify=certifi.where())
        reply = requests.get(f"{emulator.url}/$discovery/rest", timeout=10, verify=str(emulator.authority_file))
        assert reply.status_code == 200


def test_without_tls_there_is_no_authority():
    with EmulatorThread() as emulator, pytest.raises(ValueError, match="tls=True"):
        assert emulator.authority_file


def test_the_fixture_that_users_get_is_trusted_meanwhile(earth_engine_emulator_tls):
    import os

    reply = requests.get(
        f"{earth_engine_emulator_tls.url}/$discovery/rest", timeout=10, verify=os.environ["SSL_CERT_FILE"]
    )
    assert reply.status_code == 200


def test_as_a_command_it_says_what_to_trust(tmp_path):
    command = [sys.executable, "-m", "eezarr.emulator", "--tls", "ca.pem"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        url, trusted = (process.stdout.readline().strip() for _ in range(2))
        try:
            name, _, file = trusted.partition("=")
            assert name == "SSL_CERT_FILE"
            assert requests.get(f"{url}/$discovery/rest", timeout=10, verify=file).status_code == 200
        finally:
            process.terminate()
        assert process.wait(timeout=10) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["ca.pem"]
    assert b"PRIVATE" not in (tmp_path / "ca.pem").read_bytes()


@pytest.mark.parametrize("program", [["-m", "eezarr", "emulator"], ["-m", "eezarr.emulator"]])
def test_a_port_that_is_taken_is_one_line(program):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            [sys.executable, *program, "--port", port], check=False, capture_output=True, text=True, timeout=60
        )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert f"Port {port} of 127.0.0.1 is in use" in ended.stderr
    assert "--port" in ended.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--host", "192.0.2.1"], "192.0.2.1 cannot be listened at"),
        (["--host", "no-such-host.invalid"], "no-such-host.invalid cannot be listened at"),
        (["--port", "70000"], "70000 is no port"),
        (["--port", "0", "--tls", "no/such/folder/ca.pem"], "no/such/folder/ca.pem cannot be written"),
    ],
)
def test_what_cannot_be_listened_at_is_one_line(tmp_path, arguments, says):
    ended = subprocess.run(
        [sys.executable, "-m", "eezarr.emulator", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert says in ended.stderr
