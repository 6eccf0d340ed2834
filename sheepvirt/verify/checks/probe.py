"""Asks a host questions: argv in, text or XML out, always under ``LC_ALL=C``."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

from sheepvirt.bootstrap import edited, parsers, services
from sheepvirt.core.errors import NotShownError
from sheepvirt.model import hosts


class Probe:
    """One host, through testinfra's connection to it."""

    def __init__(self, host: Any) -> None:
        self._host = host

    def run(self, *argv: str) -> Any:
        """Run a command; return testinfra's result. Hosts speak Japanese: never their language."""
        return self._host.run("env LC_ALL=C" + " %s" * len(argv), *argv)

    def read(self, *argv: str) -> str:
        """Return the output of a command that must succeed; the test fails with what it said."""
        result = self.run(*argv)
        said = result.stderr_bytes.decode(errors="replace").strip()
        assert result.rc == 0, f"`{' '.join(argv)}` failed ({result.rc}): {said}"
        return str(result.stdout_bytes.decode(errors="replace"))

    def init(self) -> str:
        """Return what runs the host's services."""
        there = self.run("test", "-d", "/run/systemd/system").rc == 0
        return hosts.SYSTEMD if there else hosts.SYSV

    def runlevel(self) -> str:
        """Return the runlevel that a host with SysV init boots into; "" under systemd."""
        if self.init() == hosts.SYSTEMD:
            return ""
        return self.read("sed", "-n", services.INITDEFAULT, "/etc/inittab").strip()

    def service(self, name: str) -> str:
        """Return what the init says of a service, for ``services.state``."""
        if self.init() == hosts.SYSTEMD:
            shown = [word for key in services.PROPERTIES for word in ("-p", key)]
            return self.read("systemctl", "show", *shown, f"{name}.service", f"{name}.socket")
        if self.run("test", "-x", f"/etc/init.d/{name}").rc:
            return ""
        line = self.run("chkconfig", "--list", name).stdout
        return f"{line}\nstatus {self.run('service', name, 'status').rc}\n"

    def virsh(self, *argv: str) -> str:
        """Return what virsh says of the host's own hypervisor, whatever else libvirt drives."""
        return self.read("virsh", "-c", "qemu:///system", *argv)

    def libvirt(self) -> tuple[int, ...]:
        """Return libvirt's version."""
        return tuple(int(n) for n in self.read("virsh", "--version").strip().split("."))

    def info(self, *argv: str) -> dict[str, str]:
        """Return what ``virsh net-info`` or ``virsh dominfo`` says."""
        return parsers.info(self.virsh(*argv))

    def xml(self, *argv: str) -> ElementTree.Element:
        """Return what a virsh command prints as XML."""
        return ElementTree.fromstring(self.virsh(*argv))

    def public(self, path: str) -> bytes:
        """Return the content of a file that everyone may read. Raises NotShownError."""
        listed = self.read("stat", "-c", "%f %n", *edited.folders(path), path).splitlines()
        modes = {name: int(mode, 16) for mode, _, name in (row.partition(" ") for row in listed)}
        if not edited.is_public(path, modes):
            raise NotShownError("not everyone may read it")
        shown = self.run("cat", path)
        if shown.rc:
            raise NotShownError(f"cat ended with {shown.rc}")
        return bytes(shown.stdout_bytes)

    def kernel_has(self, module: str) -> bool:
        """Tell whether the running kernel's own package brings ``module``."""
        folder = f"/lib/modules/{self.read('uname', '-r').strip()}/kernel"
        return bool(self.run("find", folder, "-name", f"{module}.ko*").stdout.strip())

    def installed(self) -> dict[str, list[tuple[str, str]]]:
        """Return every installed RPM: name to [(NEVRA, SHA1 of its header)]."""
        return parsers.installed(self.read("rpm", "-qa", "--qf", parsers.INSTALLED))

    def console(self, domain: str, line: str, *, seconds: int) -> str:
        """Return what a guest's serial console prints from now on, until ``line`` came twice.

        One reader at a time: a terminal gives each byte to one of its readers, and a run that was
        killed leaves one behind. ``timeout`` gives the reader a process group of its own and grep
        is no session leader, so that the guest's terminal does not become ours.
        """
        tty = self.virsh("ttyconsole", "--domain", domain).strip()
        assert tty.startswith("/dev/"), f"guest {domain} has no serial console: {tty!r}"
        # What a former reader left in the terminal's buffer is no sign of life: away with it.
        script = (
            'timeout 1 cat "$1" >/dev/null; '
            'exec timeout "$2" grep --line-buffered -a -m 2 -F -e "$3" "$1"'
        )
        argv = ["sh", "-c", script, "sh", tty, str(seconds), line]
        seen = self.run("flock", "-w", str(2 * seconds), tty, *argv)
        return str(seen.stdout_bytes.decode(errors="replace"))

    def command_line(self, pid_file: str) -> list[str]:
        """Return the words of the command line of the process whose pid is in a file."""
        pid = self.read("cat", pid_file).strip()
        return self.read("cat", f"/proc/{pid}/cmdline").split("\0")

    def any_output(self, domain: str) -> str:
        """Return whatever a guest's console prints within six seconds, for a failure's message."""
        tty = self.virsh("ttyconsole", "--domain", domain).strip()
        return repr(self.run("timeout", "6", "head", "-c", "2000", tty).stdout_bytes[-400:])
