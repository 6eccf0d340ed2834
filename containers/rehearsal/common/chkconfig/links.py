"""The init scripts, override files and links of a host, and the numbers that LSB makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from headers import DEPENDENCIES, LAST, Service, parse

LEVELS = range(7)
MIDDLE = 50
SKIPPED = (".rpmsave", ".rpmnew", ".rpmorig", ".swp", "~", ",")


class Refused(Exception):
    """What chkconfig says on standard error before it ends with code 1."""


class Host:
    """The init scripts, override files and links below ``etc``."""

    def __init__(self, etc: Path):
        self.etc = etc

    def links(self, name: str, level: int) -> list[Path]:
        """Return a script's links of a runlevel."""
        return sorted(self.etc.joinpath(f"rc{level}.d").glob(f"[SK][0-9][0-9]{name}"))

    def is_on(self, name: str, level: int) -> bool:
        """Tell whether a script starts in a runlevel."""
        return any(link.name.startswith("S") for link in self.links(name, level)[:1])

    def text(self, folder: str, name: str) -> str:
        """Read a file; raises OSError."""
        return self.etc.joinpath(folder, name).read_text(encoding="latin-1")

    def read(self, name: str) -> Service:
        """Read a script with its override. Raises Refused."""
        try:
            text = self.text("init.d", name)
        except OSError:
            raise Refused(
                f"error reading information on service {name}: No such file or directory"
            ) from None
        if not text:
            raise Refused(f"error reading information on service {name}: Invalid argument")
        service = parse(text, name)
        if service is None:
            raise Refused(f"service {name} does not support chkconfig")
        over = self.override_of(name)
        if over is not None:
            service = Service(
                name,
                service.levels if over.levels is None else over.levels,
                over.start,  # fault: also where the override has no numbers
                over.stop,
                service.lsb or over.lsb,
                over.provides,  # fault: likewise
                {**service.needs, **{key: words for key, words in over.needs.items() if words}},
            )
        on = frozenset(level for level in LEVELS if self.is_on(name, level))
        return replace(service, on=on)

    def override_of(self, name: str) -> Service | None:
        """Read a script's file in chkconfig.d."""
        try:
            text = self.text("chkconfig.d", name)
        except OSError:
            return None
        return parse(text, name, partial=True) if text else None

    def all(self) -> list[Service]:
        """Read every script that chkconfig manages."""
        found = []
        for path in sorted(self.etc.joinpath("init.d").iterdir()):
            if not path.name.startswith(".") and not path.name.endswith(SKIPPED) and path.is_file():
                try:
                    found.append(self.read(path.name))
                except Refused:
                    continue
        return found

    def link(self, service: Service, level: int, on: bool) -> None:
        """Set a script's one link of a runlevel."""
        self.unlink(service.name, level)
        letter, number = ("S", service.start) if on else ("K", service.stop)
        path = self.etc / f"rc{level}.d" / f"{letter}{number:02d}{service.name}"
        if path.is_symlink():  # "S-1": not seen as a link above
            path.unlink()
        path.symlink_to(f"../init.d/{service.name}")

    def unlink(self, name: str, level: int) -> None:
        """Take a script's links of a runlevel away."""
        for path in self.links(name, level):
            path.unlink()

    def obey(self, target: Service) -> None:
        """Number the scripts by LSB's dependencies; renew links of the target and of what moved."""
        services = [replace(s, on=target.on) if s.name == target.name else s for s in self.all()]
        moved = True
        while moved:
            moved = False
            for service in services:
                if service.lsb and _move(service, services):
                    self.renumber(service)
                    moved = True
        _move(target, services)
        for level in LEVELS:
            if not self.links(target.name, level):
                self.link(target, level, target.wants(level))
        self.renumber(target)

    def renumber(self, service: Service) -> None:
        """Give a script's links its present numbers."""
        for level in LEVELS:
            if self.links(service.name, level):
                self.link(service, level, self.is_on(service.name, level))


def _move(service: Service, services: list[Service]) -> bool:
    before = service.start, service.stop
    if service.start < 0:
        service.start = MIDDLE
    if service.stop > LAST:
        service.stop = MIDDLE
    for other in services:
        # A dependency counts where it starts in every runlevel that its dependant starts in.
        if not service.on <= other.on:
            continue
        for key in DEPENDENCIES:
            if {other.name, *other.provides}.isdisjoint(service.needs.get(key, ())):
                continue
            if key.endswith("Start"):
                service.start = max(service.start, min(other.start + 1, LAST))
            else:
                service.stop = min(service.stop, max(other.stop - 1, 0))
    return before != (service.start, service.stop)
