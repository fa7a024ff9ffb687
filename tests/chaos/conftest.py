"""One parent of processes and one world for all chaos of a session."""

import os

import pytest

from chaos.harness import Service
from chaos.processes import Forge

# Processes are signalled by a handle that only Linux has.
collect_ignore_glob = [] if hasattr(os, "pidfd_open") else ["test_*.py"]


@pytest.fixture(scope="session")
def forge():
    forge = Forge()
    yield forge
    forge.close()


@pytest.fixture(scope="session")
def service():
    return Service()
