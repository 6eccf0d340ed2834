"""A real sshd that offers only what el6's does: reached with ``old_ssh``, refused without.

It is the host image's OpenSSH, told to offer an ssh-rsa host key with SHA-1 and OpenSSH 5.3's key
exchange, ciphers and MACs. That a client signs with SHA-1 cannot be forced here: this sshd tells
clients what else it knows (RFC 8308), which 5.3 does not, and they take the better one.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from world import RUN, SETTINGS

from sheepvirt.config import inventory
from sheepvirt.core.errors import HostKeyChangedError, HostUnreachableError, SshError
from sheepvirt.images import recipes
from sheepvirt.model.hosts import Host
from sheepvirt.model.networks import Bridge, Network
from sheepvirt.ssh import client, hostkeys

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sheepvirt.core.settings import Settings
    from sheepvirt.engine.container import Container

pytestmark = pytest.mark.engine
PORT = 22
OLD = {
    "HostKeyAlgorithms": "ssh-rsa",
    "HostKey": "/etc/ssh/ssh_host_rsa_key",
    "KexAlgorithms": "diffie-hellman-group-exchange-sha1,diffie-hellman-group14-sha1",
    "PubkeyAcceptedKeyTypes": "+ssh-rsa",
    "Ciphers": "aes128-ctr,aes128-cbc",
    "MACs": "hmac-sha1",
}
SSHD = "ssh-keygen -A && mkdir -p /run/sshd && exec /usr/sbin/sshd -D -e "


@pytest.fixture(scope="module")
def sshd() -> Iterator[Container]:
    tag = recipes.ensure(RUN, inventory.load_target(SETTINGS, "rehearsal"), "host")
    options = " ".join(f"-o {key}={value}" for key, value in OLD.items())
    name = f"sheepvirt-test-old-ssh-{os.getpid()}"
    port = 20000 + os.getpid() % 20000
    container = RUN.engine.start_host(
        name,
        tag,
        command=["sh", "-c", SSHD + options],
        hostname="papara",
        environment={},
        publish={PORT: port},
        labels={},
    )
    try:
        yield container
    finally:
        RUN.engine.remove(name)


@pytest.fixture
def own(tmp_path: Path) -> Settings:
    """Settings with keys of a test's own."""
    return replace(SETTINGS, state=tmp_path)


@pytest.fixture
def papara(sshd: Container, own: Settings) -> Host:
    """The host as the inventory has it for an el6 machine; its key was read on its own console."""
    port = sshd.published_port(PORT)
    host = Host(
        name="papara",
        target="el6",
        rehearsal=False,
        address="127.0.0.1",
        port=port,
        user="root",
        bridges=(Bridge(name="ovsbr0"),),
        networks=(Network(name="ovsbr0", bridge="ovsbr0"),),
        guests=(),
    )
    host = replace(host, old_ssh=True)
    sshd.run(["install", "-d", "-m", "700", "/root/.ssh"], check=True)
    keys = [hostkeys.public_key(own, h) for h in (host, replace(host, old_ssh=False))]
    sshd.write("/root/.ssh/authorized_keys", "\n".join([*keys, ""]), mode=0o600)
    deadline = time.monotonic() + 30  # it makes its keys first
    while sshd.run(["test", "-e", OLD["HostKey"] + ".pub"]).code and time.monotonic() < deadline:
        time.sleep(0.1)
    hostkeys.pin(own, host, port, sshd.run(["cat", OLD["HostKey"] + ".pub"], check=True).stdout)
    return host


def test_an_old_sshd_is_reached_with_old_ssh(own: Settings, papara: Host) -> None:
    connection = client.connect(own, papara)
    connection.wait(30)
    try:
        assert connection.run(["hostname"]).stdout == "papara\n"
    finally:
        connection.close()


def test_without_it_the_error_names_the_key_of_the_inventory(own: Settings, papara: Host) -> None:
    client.connect(own, papara).wait(30)
    client.connect(own, papara).close()
    with pytest.raises(SshError, match="no algorithm in common") as caught:
        client.connect(own, replace(papara, old_ssh=False)).open()
    assert not isinstance(caught.value, HostUnreachableError)  # waiting would not help
    assert "`old_ssh = true` for papara" in caught.value.hint


def test_its_key_is_pinned_all_the_same(own: Settings, papara: Host) -> None:
    client.connect(own, papara).wait(30)
    client.connect(own, papara).close()
    known = hostkeys.folder(own, papara) / "known_hosts"
    address, kind, _ = known.read_text(encoding="ascii").split()
    other = hostkeys.public_key(own, papara).split()[1]  # a key of the same kind, not the host's
    known.write_text(f"{address} {kind} {other}\n", encoding="ascii")
    with pytest.raises(HostKeyChangedError):
        client.connect(own, papara).open()
