"""What every test run shares: one thread, one throw-away cache, no network, and a word about tests that had no data."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
NEEDED = ("ZEROSUM_DATA", "ZEROSUM_PARITY")


def is_worker(config: pytest.Config) -> bool:
    """Whether this process was started by pytest-xdist."""
    return hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    if not is_worker(config):  # workers inherit the folder, so that what one has computed serves the other
        os.environ["ZEROSUM_CACHE"] = tempfile.mkdtemp(prefix="zerosum-cache-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not is_worker(config):
        shutil.rmtree(os.environ["ZEROSUM_CACHE"], ignore_errors=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and not is_worker(session.config):  # a report header would be hidden by -q
        for name in NEEDED:
            reporter.write_line(
                f"{name} is " + ("set" if name in os.environ else "not set: tests that read it are skipped")
            )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    reasons = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    for name in NEEDED:
        if count := sum(name in reason for reason in reasons):
            terminalreporter.write_line(f"{count} test{'s' * (count > 1)} skipped for want of {name}")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Two workers on two cores are fastest with one thread each, and sums come out the same everywhere."""
    import torch

    torch.set_num_threads(1)


def is_local(address: Any) -> bool:
    """Whether connecting to `address` stays on this machine."""
    if not isinstance(address, tuple):
        return True  # a Unix socket
    if address[0] in ("localhost", "", socket.gethostname()):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(address[0].split("%")[0]).is_loopback
    return False


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing in zerosum may reach for the network unasked."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        if not is_local(address):
            raise AssertionError(f"a test tried to reach {address[0]} over the network")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)
    yield
