"""Logging in as people do, on a real sshd and sudo: aliases, a jump host, passwords, pinning.

One rehearsal host is bootstrapped; inventories of the test then call it a real machine and reach it
in other ways, each with keys of its own. Debian's sudo is installed there. ssh takes no other home
than that of /etc/passwd, so the user's own configuration is given to it by a program named ssh.
"""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import invoke
from world import RUN, SETTINGS

from sheepvirt.bootstrap import rehearsal
from sheepvirt.config import inventory
from sheepvirt.core import paths, processes
from sheepvirt.core.errors import NoSudoRightsError, SudoPasswordError
from sheepvirt.core.secret import Secret
from sheepvirt.model.enums import Init
from sheepvirt.ssh import client, hostkeys, sudo
from sheepvirt.ssh.sudo import Sudo

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sheepvirt.core.settings import Settings
    from sheepvirt.engine.container import Container
    from sheepvirt.model.hosts import Host

pytestmark = pytest.mark.engine
PASSWORD = "open $esame 'x\" é"
USERS = ("pw", "free", "denied", "some", "noterm", "noshell")
SUDOERS = """
pw ALL=(ALL) ALL
Defaults:pw timestamp_type=global
free ALL=(ALL) NOPASSWD: ALL
some ALL=(ALL) /usr/bin/virsh
noterm ALL=(ALL) NOPASSWD: ALL
Defaults:noterm requiretty
"""
MAKE_USERS = """
set -e
apt-get update -q && apt-get install -y -q --no-install-recommends sudo
for user in "$@"; do
  useradd -m -s /bin/bash "$user"
  install -d -m 700 -o "$user" "/home/$user/.ssh"
done
usermod -s /usr/sbin/nologin noshell
"""


@dataclass(frozen=True, kw_only=True)
class Lab:
    """The host, its jump host, and a user's own ssh."""

    inner: Container
    jump: Container
    port: int  # of the host, on this machine
    address: str  # as the jump host sees it
    folder: Path
    settings: Settings
    env: dict[str, str]

    def host(self, name: str) -> Host:
        return inventory.load_host(replace(self.settings, inventory=self.inventory(name)), name)

    def inventory(self, name: str) -> Path:
        """Return the inventory of one host: in one file they would be one machine, and refused."""
        return self.folder / f"{name}.toml"

    def environment(self, *args: str) -> dict[str, str]:
        """Return the environment for a command about one of the hosts."""
        files = [str(self.inventory(one)) for one in args if self.inventory(one).is_file()]
        return {**self.env, **({"SHEEPVIRT_INVENTORY": files[0]} if files else {})}

    def connect(self, name: str, given: Sudo | None = None) -> client.Connection:
        return client.connect(self.settings, self.host(name), sudo=given)

    def run(self, *args: str) -> tuple[int, str]:
        """Run a sheepvirt command where nobody can be asked; return its exit code and output."""
        argv = [sys.executable, "-u", "-m", "invoke", *args]
        done = processes.run(argv, cwd=paths.ROOT, env=self.environment(*args), merged=True)
        return done.code, done.stdout

    def run_on_terminal(self, *args: str, answer: bytes, after: bytes) -> tuple[int, str]:
        """Run a sheepvirt command on a terminal of its own; answer what asks ``after``."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(paths.ROOT)
            argv = [sys.executable, "-m", "invoke", *args]
            os.execve(sys.executable, argv, self.environment(*args))
        seen, answered = b"", False
        try:
            while chunk := os.read(terminal, 65536):
                seen += chunk
                if after in seen and not answered:
                    os.write(terminal, answer + b"\n")
                    answered = True
        except OSError:  # Linux says so where the other end is closed
            pass
        os.close(terminal)
        assert answered, seen
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), seen.decode()


def entry(name: str, *lines: str) -> str:
    """Return a host of an inventory that is fakarava, as a real machine."""
    head = 'target = "rehearsal"\nbridge = "ovsbr0"\nnetwork = "ovsbr0"\ndatapath = "netdev"\n'
    guest = 'memory_mb = 256\nnetwork = "ovsbr0"\nline = "rotoava is up"\n'
    return (
        f"[hosts.{name}]\n{head}"
        + "".join(f"{line}\n" for line in lines)
        + f"[hosts.{name}.guests.rotoava]\n{guest}\n"
    )


def own_configuration(folder: Path, address: str, jump: str) -> str:
    """Return what a user has in ~/.ssh/config."""

    def block(name: str, *rows: str) -> str:
        return f"Host {name}\n" + "".join(f"  {row}\n" for row in rows)

    inner = f"HostName {address}"
    return "".join(
        (
            block("jump", f"HostName {jump}"),
            block("inner", inner, "ProxyJump jump", "RemoteCommand date", "RequestTTY force"),
            block("inner-pw", inner, "ProxyJump jump", "User pw"),
            block("dead-jump", inner, "ProxyJump 127.0.0.1:9"),
            block("nameless-jump", inner, "ProxyJump nosuch.invalid"),
            block("denied-jump", inner, "ProxyJump nobody-here@jump"),
            block("dead-inner", inner, "Port 9", "ProxyJump jump"),
            block("nameless", "HostName nosuch.invalid"),
            block("stranger", f"HostName {jump}", "UserKnownHostsFile /dev/null"),
            block("nobody", f"HostName {jump}", "User nobody-here"),
            block("nosudo", f"HostName {jump}", "User bare"),
            block(
                "*",
                "User root",
                f"IdentityFile {folder}/id",
                "IdentitiesOnly yes",
                f"UserKnownHostsFile {folder}/known_hosts",
            ),
        )
    )


ALIASES = ("inner", "inner-pw", "dead-jump", "nameless-jump", "denied-jump", "dead-inner",
           "nameless", "stranger", "nobody", "nosudo")  # fmt: skip  # a table


def allow(container: Container, user: str, *keys: str) -> None:
    home = "/root" if user == "root" else f"/home/{user}"
    known = container.run(["cat", f"{home}/.ssh/authorized_keys"]).stdout
    container.write(f"{home}/.ssh/authorized_keys", known + "".join(f"{k}\n" for k in keys))
    container.run(["chown", f"{user}:", f"{home}/.ssh/authorized_keys"], check=True)


def address_of(container: Container) -> str:
    said = container.run(["ip", "-4", "-o", "addr", "show", "dev", "eth0"], check=True).stdout
    return said.split()[3].partition("/")[0]


def found(name: str) -> Container:
    container = RUN.engine.find(rehearsal.container_name(inventory.load_host(SETTINGS, name)))
    assert container is not None
    return container


@pytest.fixture(scope="module")
def lab(published: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    hosts = [inventory.load_host(SETTINGS, name) for name in ("fakarava", "anaa")]
    for host in hosts:
        rehearsal.remove(RUN, host)
    try:
        invoke("bootstrap", "fakarava")
        rehearsal.ensure(RUN, replace(hosts[1], init=Init.SYSTEMD))
        yield prepared(tmp_path_factory.mktemp("user"), hosts[0])
    finally:
        for host in reversed(hosts):
            rehearsal.remove(RUN, host)


def prepared(folder: Path, host: Host) -> Lab:
    inner, jump = found("fakarava"), found("anaa")
    inner.run(["env", "LC_ALL=C", "sh", "-c", MAKE_USERS, "sh", *USERS], check=True)
    inner.write("/root/passwords", "".join(f"{user}:{PASSWORD}\n" for user in USERS), mode=0o600)
    inner.run(["sh", "-c", "chpasswd </root/passwords && rm /root/passwords"], check=True)
    inner.write("/etc/sudoers.d/login", SUDOERS, mode=0o440)
    jump.run(
        ["sh", "-c", "useradd -m bare && install -d -m 700 -o bare /home/bare/.ssh"], check=True
    )

    address, way = (address_of(container) for container in (inner, jump))
    assert processes.run(["ssh-keygen", "-q", "-N", "", "-f", f"{folder}/id"]).code == 0
    mine = (folder / "id.pub").read_text().strip()
    for container, user in ((inner, "root"), (inner, "pw"), (jump, "root"), (jump, "bare")):
        allow(container, user, mine)
    rows = [
        f"{at} {c.run(['cat', rehearsal.HOST_KEY], check=True).stdout}"
        for at, c in ((address, inner), (way, jump))
    ]
    (folder / "known_hosts").write_text("".join(rows))
    (folder / "config").write_text(own_configuration(folder, address, way))
    program = folder / "bin" / "ssh"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {folder}/config "$@"\n')
    program.chmod(0o755)

    port = hostkeys.port(SETTINGS, host)
    at = ('address = "127.0.0.1"', f"port = {port}")
    command = (
        f"sudo_password_command = {json.dumps(['printf', '%s', PASSWORD], ensure_ascii=False)}"
    )
    lines: dict[str, tuple[str, ...]] = {
        **{f"fakarava-{user}": (*at, f'user = "{user}"') for user in USERS},
        "fakarava-command": (*at, 'user = "pw"', command),
        "fakarava-wrong": (*at, 'user = "pw"', 'sudo_password_command = ["echo", "wrong"]'),
        "fakarava-rights": (*at, 'user = "denied"', command),
        "fakarava-some-rights": (*at, 'user = "some"', command),
        "fakarava-nobody": (*at, 'user = "nobody-here"'),
        "fakarava-new": at,
        **{f"fakarava-by-{one}": (f'ssh = "{one}"',) for one in ALIASES},
        "fakarava-by-inner-pw": ('ssh = "inner-pw"', command),
    }
    for name, given in lines.items():
        (folder / f"{name}.toml").write_text(entry(name, *given))
    chosen = replace(SETTINGS, state=folder / "state")
    env = {**os.environ, **chosen.environment(), "COLUMNS": "200"}
    env["PATH"] = f"{program.parent}:{env['PATH']}"
    lab = Lab(
        inner=inner, jump=jump, port=port, address=address, folder=folder, settings=chosen, env=env
    )
    for one in map(lab.host, lines):
        if not one.ssh and one.name != "fakarava-new":
            hostkeys.pin(chosen, one, port, inner.run(["cat", rehearsal.HOST_KEY]).stdout)
            if one.user in USERS:
                allow(inner, one.user, hostkeys.public_key(chosen, one))
    return lab


@pytest.fixture(autouse=True)
def own_ssh(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", lab.env["PATH"])


@contextmanager
def watched() -> Iterator[list[str]]:
    """Collect where the password is seen in this kernel's processes, also in the containers'."""
    seen: list[str] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            for file in (
                *Path("/proc").glob("[0-9]*/cmdline"),
                *Path("/proc").glob("[0-9]*/environ"),
            ):
                try:
                    if PASSWORD.encode() in file.read_bytes():
                        seen.append(str(file))
                except OSError:
                    continue
            stop.wait(0.02)

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        stop.set()
        watcher.join()


def logs() -> str:
    return "".join(path.read_text(errors="replace") for path in SETTINGS.logs.glob("*.log"))


def test_a_password_from_the_terminal_is_asked_once_and_seen_nowhere(lab: Lab) -> None:
    with watched() as seen:
        code, out = lab.run_on_terminal(
            "verify",
            "fakarava-pw",
            "--no-reboot",
            answer=PASSWORD.encode(),
            after=b"on fakarava-pw: ",
        )
    assert code == 0, out
    assert out.count("password of pw for sudo") == 1
    assert not seen
    assert PASSWORD not in out + logs()
    assert not [
        p
        for p in (SETTINGS.dist / "verify" / "fakarava-pw").iterdir()
        if PASSWORD in p.read_text(errors="replace")
    ]


def test_a_password_comes_from_a_command_and_a_plan_finds_nothing_to_do(lab: Lab) -> None:
    code, out = lab.run("bootstrap", "fakarava-command", "--plan")
    assert code == 0, out
    assert PASSWORD not in out + logs()


CONTENT = b"first\n\xff\0 no end of line" * 40_000


def test_a_commands_input_is_its_own_while_sudo_remembers_the_password(lab: Lab) -> None:
    lab.inner.run(["sudo", "-u", "pw", "sudo", "-K"], check=True)
    connection = lab.connect("fakarava-command")
    for number in range(3):
        connection.write(f"/root/in-{number}", CONTENT)
        # After the first, sudo does not read a password: it has a valid timestamp.
        assert lab.inner.run(["sudo", "-u", "pw", "sudo", "-n", "true"]).code == 0
    sums = connection.run(
        ["sh", "-c", "cksum < /root/in-0; cksum < /root/in-1; cksum < /root/in-2"]
    )
    here = subprocess.run(["cksum"], input=CONTENT, capture_output=True, check=True).stdout.decode()
    assert sums.stdout.splitlines() == here.splitlines() * 3


@pytest.mark.parametrize(
    "rule",
    [
        "pw ALL=(ALL) NOPASSWD: ALL",
        "pw ALL=(ALL) ALL\nDefaults:pw timestamp_timeout=0",
        "pw ALL=(ALL) ALL\nDefaults:pw use_pty",
        "pw ALL=(ALL) ALL\nDefaults:pw log_input",
    ],
)
def test_a_commands_input_is_its_own_under_any_policy(lab: Lab, rule: str) -> None:
    connection = lab.connect("fakarava-command")
    connection.open()  # the password is known from here on
    lab.inner.write("/etc/sudoers.d/login", f"{rule}\n", mode=0o440)
    try:
        connection.write("/root/in", CONTENT)
        there = connection.run(["cksum", "/root/in"]).stdout.split()[:2]
        kept = lab.inner.run(["grep", "-rlF", PASSWORD, "/var/log", "/root", "/tmp"]).stdout
    finally:
        lab.inner.write("/etc/sudoers.d/login", SUDOERS, mode=0o440)
    done = subprocess.run(["cksum"], input=CONTENT, capture_output=True, check=True)
    assert there == done.stdout.decode().split()[:2]
    assert kept == ""


def test_a_folder_is_sent_with_a_password(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    lab.connect("fakarava-command").put_tree(tmp_path, ["a"], "/root/tree")
    assert lab.inner.run(["stat", "-c", "%s %U", "/root/tree/a"]).stdout.split() == [
        str(len(CONTENT)),
        "root",
    ]


@pytest.mark.parametrize(
    ("name", "word", "hint"),
    [
        ("fakarava-pw", "wants a password of 'pw', and there is no", "sudo_password_command"),
        ("fakarava-wrong", "did not accept the password of 'pw'", "sudo -k true"),
        ("fakarava-rights", "denied is not in the sudoers file", "denied ALL=(ALL) ALL"),
        ("fakarava-some-rights", "user some is not allowed to execute", "some ALL=(ALL) ALL"),
        ("fakarava-noterm", "refuses to run without a terminal", "!requiretty"),
        ("fakarava-noshell", "This account is currently not available", "name an account with a"),
        ("fakarava-nobody", "key for the user 'nobody-here'", "authorized_keys"),
        ("fakarava-by-nosudo", "there is no sudo", "User root for 'nosudo' in ~/.ssh/config"),
        ("fakarava-by-dead-jump", "its jump host [127.0.0.1]:9 was not", "ssh://[127.0.0.1]:9"),
        ("fakarava-by-nameless-jump", "its jump host nosuch.invalid was not", "succeed first"),
        ("fakarava-by-denied-jump", "Permission denied", "succeed first"),
        ("fakarava-by-dead-inner", "jump host jump was reached, and cannot reach", "Port of"),
        ("fakarava-by-nameless", "name does not resolve here", "HostName of 'nameless'"),
        ("fakarava-by-stranger", "your known_hosts has no key", "run `ssh stranger` once"),
        ("fakarava-by-nobody", "refused the login of 'nobody-here'", "ssh-add"),
    ],
)
def test_each_refusal_is_told_apart(lab: Lab, name: str, word: str, hint: str) -> None:
    code, out = lab.run("bootstrap", name, "--plan")
    assert code == 8, out
    message, _, todo = out.partition("what to do: ")
    assert word in message
    assert hint in todo


def test_a_user_without_rights_costs_one_attempt(lab: Lab) -> None:
    asked: list[str] = []

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return PASSWORD

    with pytest.raises(NoSudoRightsError):
        lab.connect("fakarava-denied", Sudo(ask)).open()
    assert len(asked) == 1


def test_a_wrong_password_is_tried_once_by_sudo(lab: Lab) -> None:
    lab.inner.run(["rm", "-f", "/root/sudo.log"], check=True)
    lab.inner.write("/etc/sudoers.d/log", "Defaults logfile=/root/sudo.log\n", mode=0o440)
    with pytest.raises(SudoPasswordError):
        lab.connect("fakarava-wrong").open()
    said = lab.inner.run(["cat", "/root/sudo.log"]).stdout
    lab.inner.run(["rm", "-f", "/etc/sudoers.d/log"], check=True)
    assert "1 incorrect password attempt" in said


def test_an_alias_over_a_jump_host_is_planned_and_verified(lab: Lab) -> None:
    code, out = lab.run("bootstrap", "fakarava-by-inner", "--plan")
    assert code == 0, out
    code, out = lab.run("verify", "fakarava-by-inner", "--no-reboot")
    assert code == 0, out
    assert not (lab.settings.state / "hosts" / "fakarava-by-inner").exists()  # no key of sheepvirt


def test_an_alias_may_need_sudo_with_a_password(lab: Lab) -> None:
    connection = lab.connect("fakarava-by-inner-pw")
    assert connection.run(["id", "-u"]).stdout == "0\n"
    assert connection.run(["cat"], stdin=CONTENT[:5000]).stdout.encode()[:6] == b"first\n"


def test_a_jump_host_that_goes_away_is_told_and_waited_for(lab: Lab) -> None:
    connection = lab.connect("fakarava-by-inner")
    connection.run(["true"])
    connection.close()
    connection.wait(20)
    assert connection.run(["hostname"]).stdout == "fakarava\n"


def test_first_contact_pins_what_was_shown(lab: Lab) -> None:
    code, out = lab.run("bootstrap", "fakarava-new", "--plan")
    assert code == 8, out
    assert out.count("authorized_keys there") == 1  # the key is announced
    command = re.search(r"`invoke (trust fakarava-new --fingerprint (SHA256:\S+))`", out)
    assert command, out
    real = lab.inner.run(["ssh-keygen", "-lf", rehearsal.HOST_KEY], check=True).stdout.split()[1]
    assert command[2] == real
    known = hostkeys.known_hosts(lab.settings, lab.host("fakarava-new"))

    code, out = lab.run("trust", "fakarava-new")  # nobody can be asked
    assert code == 8, out
    code, out = lab.run("trust", "fakarava-new", "--fingerprint", f"{real[:-3]}AAA")
    assert code == 8, out
    code, out = lab.run_on_terminal("trust", "fakarava-new", answer=b"no", after=b"[yes/no] ")
    assert code == 8, out
    assert not known.exists()

    code, out = lab.run_on_terminal("trust", "fakarava-new", answer=b"yes", after=b"[yes/no] ")
    assert code == 0, out
    assert len(known.read_text().splitlines()) >= 2  # all that was shown
    code, out = lab.run(*command[1].split())
    assert code == 0, out
    assert len(known.read_text().splitlines()) == 1

    code, out = lab.run("bootstrap", "fakarava-new", "--plan")
    assert code == 8, out
    assert "made: " not in out  # the announcement came once
    line = re.search(r"(ssh-ed25519 \S+ sheepvirt-fakarava-new)", out)
    assert line, out
    allow(lab.inner, "root", line[1])
    assert lab.run("bootstrap", "fakarava-new", "--plan")[0] == 0


def test_plain_pytest_takes_the_command_or_says_that_it_needs_one(lab: Lab) -> None:
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(paths.CHECKS)]
    for host, code in (("fakarava-command", 0), ("fakarava-pw", 4)):
        env = {k: v for k, v in lab.environment(host).items() if not k.startswith("PYTEST_")}
        ask = [*argv, "-k", "test_networks", f"--hosts=ssh://{host}"]
        done = processes.run(ask, cwd=paths.ROOT, env=env)
        assert done.code == code, done.stdout
    assert "wants a password" in done.stderr + done.stdout


def test_what_the_probe_asks_is_the_policys_answer_not_a_memory(lab: Lab) -> None:
    connection = lab.connect("fakarava-command")
    connection.run(["true"])  # sudo remembers the password now
    words = list(sudo.PROBE)
    assert connection._plainly(words, Secret("")).code == 1
