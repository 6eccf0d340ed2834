"""Run commands on a host for the checks: argv in, text or XML out, always under ``LC_ALL=C``."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from sheepvirt.bootstrap import edited, installed_rpms, virsh
from sheepvirt.bootstrap.facts import services, sysv
from sheepvirt.core.errors import NotShownError
from sheepvirt.model.enums import Init
from sheepvirt.ssh.sent import printable

if TYPE_CHECKING:
    from pathlib import Path


class Probe:
    """One host, through testinfra's connection to it."""

    def __init__(self, host: Any, commands: Path | None = None) -> None:
        """Write each command with its exit code and duration to ``commands``, if given."""
        self._host = host
        self._commands = commands

    def run(self, *argv: str) -> Any:
        """Run a command in English (hosts may speak Japanese); return testinfra's result."""
        start = time.monotonic()
        result = self._host.run("env LC_ALL=C" + " %s" * len(argv), *argv)
        if self._commands:
            ended = f"exit code {result.rc}, {time.monotonic() - start:.1f} s"
            with self._commands.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(f"{printable(shlex.join(argv))}  # {ended}\n")
        return result

    def read(self, *argv: str) -> str:
        """Return the output of a command that must succeed; else the test fails with its error."""
        result = self.run(*argv)
        said = result.stderr_bytes.decode(errors="replace").strip()
        assert result.rc == 0, f"`{' '.join(argv)}` failed ({result.rc}): {said}"
        return str(result.stdout_bytes.decode(errors="replace"))

    def init(self) -> Init:
        """Return the host's init."""
        there = self.run("test", "-d", "/run/systemd/system").rc == 0
        return Init.SYSTEMD if there else Init.SYSV

    def runlevel(self) -> str:
        """Return the runlevel that a host with SysV init boots into; "" under systemd."""
        if self.init() == Init.SYSTEMD:
            return ""
        return self.read("sed", "-n", sysv.INITDEFAULT, "/etc/inittab").strip()

    def service(self, name: str) -> str:
        """Return the init's output about a service, for ``services.state``."""
        if self.init() == Init.SYSTEMD:
            shown = [word for key in services.PROPERTIES for word in ("-p", key)]
            return self.read("systemctl", "show", *shown, f"{name}.service", f"{name}.socket")
        if self.run("test", "-x", f"/etc/init.d/{name}").rc:
            return ""
        line = self.run("chkconfig", "--list", name).stdout
        return f"{line}\nstatus {self.run('service', name, 'status').rc}\n"

    def virsh(self, *argv: str) -> str:
        """Return virsh's output for the host's own hypervisor."""
        return self.read("virsh", "-c", "qemu:///system", *argv)

    def libvirt(self) -> tuple[int, ...]:
        """Return libvirt's version."""
        return tuple(int(n) for n in self.read("virsh", "--version").strip().split("."))

    def info(self, *argv: str) -> dict[str, str]:
        """Return the output of ``virsh net-info`` or ``virsh dominfo`` as a mapping."""
        return virsh.info(self.virsh(*argv))

    def xml(self, *argv: str) -> ElementTree.Element:
        """Return the XML that a virsh command prints."""
        return ElementTree.fromstring(self.virsh(*argv))

    def public(self, path: str) -> bytes:
        """Return the content of a file that everyone may read. Raises NotShownError."""
        listed = self.read("stat", "-c", "%f %n", *edited.folders(path), path).splitlines()
        modes = {name: int(mode, 16) for mode, _, name in (row.partition(" ") for row in listed)}
        if not edited.is_public(path, modes):
            raise NotShownError("not everyone may read it")
        shown = self.run("cat", path)
        if shown.rc:
            raise NotShownError(f"cat failed with exit code {shown.rc}")
        return bytes(shown.stdout_bytes)

    def kernel_has(self, module: str) -> bool:
        """Tell whether the running kernel's package has ``module``, as a file or built in."""
        folder = f"/lib/modules/{self.read('uname', '-r').strip()}"
        if self.run("grep", "-q", f"/{module}\\.ko$", f"{folder}/modules.builtin").rc == 0:
            return True
        return bool(self.run("find", f"{folder}/kernel", "-name", f"{module}.ko*").stdout.strip())

    def installed(self) -> dict[str, list[tuple[str, str]]]:
        """Return every installed RPM: name to [(NEVRA, SHA1 of its header)]."""
        return installed_rpms.installed(self.read("rpm", "-qa", "--qf", installed_rpms.INSTALLED))

    def console(self, domain: str, line: str, *, seconds: int) -> str:
        """Return a guest's serial console output from now on, until ``line`` came twice.

        Only one reader at a time: a terminal gives each byte to one of its readers, and a killed
        run leaves its reader behind. ``timeout`` puts the reader in a separate process group, and
        grep is not a session leader, so the guest's terminal cannot become the controlling one.
        """
        tty = self.virsh("ttyconsole", "--domain", domain).strip()
        assert tty.startswith("/dev/"), f"guest {domain} has no serial console: {tty!r}"
        # Drop what is in the terminal's buffer: it may be old.
        script = (
            'timeout 1 cat "$1" >/dev/null; '
            'exec timeout "$2" grep --line-buffered -a -m 2 -F -e "$3" "$1"'
        )
        argv = ["sh", "-c", script, "sh", tty, str(seconds), line]
        seen = self.run("flock", "-w", str(2 * seconds), tty, *argv)
        return str(seen.stdout_bytes.decode(errors="replace"))

    def command_line(self, pid_file: str) -> list[str]:
        """Return the command line of the process whose pid is in a file, as words."""
        pid = self.read("cat", pid_file).strip()
        return self.read("cat", f"/proc/{pid}/cmdline").split("\0")

    def any_output(self, domain: str) -> str:
        """Return a guest's console output of six seconds, for a failure's message."""
        tty = self.virsh("ttyconsole", "--domain", domain).strip()
        return repr(self.run("timeout", "6", "head", "-c", "2000", tty).stdout_bytes[-400:])
