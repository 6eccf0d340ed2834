"""Build one package in one container: patch the spec, prove it, run rpmbuild, check the RPMs."""

from __future__ import annotations

import shlex
import shutil
import signal
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.builds import buildlog, gates, staging
from sheepvirt.builds.buildroot import TOP, defines, environment, owner
from sheepvirt.config import versions
from sheepvirt.core.errors import BuildError, CompileError
from sheepvirt.model.builds import (
    BuildRecord,
    BundleSources,
    DebianSource,
    Evidence,
    Package,
    PublishedRpm,
    Rpm,
    Source,
    Target,
)
from sheepvirt.rpm import rpms
from sheepvirt.sources import store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sheepvirt.core.processes import Result
    from sheepvirt.core.progress import Stage
    from sheepvirt.engine.container import Container
    from sheepvirt.model.plans import PlannedBuild
    from sheepvirt.run import Run

KILLED = {-1, 128 + signal.SIGKILL, 128 + signal.SIGTERM}


class Job:
    """Builds packages of one target into one staging folder of its repo."""

    def __init__(
        self,
        run: Run,
        target: Target,
        image: str,
        stage: Path,
        *,
        keep_failed: bool = True,
        bundle_sources: BundleSources | None = None,
    ) -> None:
        self._settings = run.settings
        self._engine = run.engine
        self._progress = run.progress
        self._clock = run.clock
        self._target = target
        self._image = image
        self._stage = stage
        self._keep_failed = keep_failed
        self._bundle_sources = bundle_sources  # if not None, sources come only from that bundle

    def build(self, row: PlannedBuild, done: Mapping[str, BuildRecord]) -> BuildRecord:
        """Build one package; ``done`` has the records of what it needs. Returns its record.

        The container is always removed; a failed compilation leaves an image to inspect. Raises
        SourceError, SpecError, EngineError, CompileError, BuildError, ContractError.
        """
        package = row.package
        out = self._stage / package.name
        out.mkdir()
        with self._progress.stage(f"{package.name}: sources") as part:
            files = [self.fetch(source, part) for source in package.sources]
        spec_path = self._patched_spec(package, files, out)
        published = [
            rpms.read(self._stage / r.file) for n in row.build_packages for r in done[n].rpms
        ]
        needed = [rpm for rpm in published if not rpm.is_source]
        with self.build_root(package, files, spec_path, needed) as container:
            evidence = self.prove(container, package, out)
            seconds = self.compile(container, package, out, epoch=staging.epoch(files))
            with self._progress.stage(f"{package.name}: collect the RPMs") as part:
                built = _collect(container, out)
                evidence += gates.build_gates(
                    container, self._target, package, out, built=built, build_root_rpms=needed
                )
                part.note = f"{len(built)} RPMs, {len(evidence)} claims seen"
        self._engine.remove_image(self._failed_tag(package))
        return BuildRecord(
            package=package.name,
            version=package.version,
            key=row.key,
            inputs=row.inputs,
            rpms=tuple(_published(r, package) for r in built),
            installed_subpackages=package.installed_subpackages,
            evidence=tuple(evidence),
            seconds=round(seconds, 1),
            stand_in=package.stand_in,
            unpinned=package.unpinned,
            kernel_module=package.kernel_module,
        )

    def fetch(self, source: Source, part: Stage) -> Path:
        """Fetch a source; return its file. Raises SourceError."""
        debian = self._from_debian if self._target.suite else None  # else its image has no apt
        return store.fetch(
            self._settings, source, part, debian=debian, bundle_sources=self._bundle_sources
        )

    def _from_debian(self, source: DebianSource, folder: Path) -> Path:
        """Fetch a file of a Debian source package in a container, which has the mirrors."""
        with self._engine.container(
            self._image, owner=owner(self._settings, self._target)
        ) as container:
            for argv in (
                ["apt-get", "update", "-q"],
                ["apt-get", "source", "-q", "--download-only", "--tar-only", source.package],
            ):
                container.run(argv, workdir="/tmp", check=True)
            return container.get(f"/tmp/{source.file}", folder)

    def _patched_spec(self, package: Package, files: Sequence[Path], out: Path) -> Path:
        """Apply the intents of all features to the spec; write it and its diff to ``out``."""
        with self._progress.stage(f"{package.name}: patch the spec") as part:
            macros = self._target.for_package(package).macros
            patched = staging.patched_spec(package, files, macros)
            for action in patched.actions:
                part.line(action)
            for warning in patched.warnings:
                part.line(f"warning: {warning}")
            part.note = "; ".join(patched.actions)
            path = out / package.spec_file
            path.write_bytes(patched.text.encode(errors=staging.BYTES))
            (out / "spec.diff").write_text(patched.diff, encoding="utf-8", errors=staging.BYTES)
        if patched.diff:
            self._progress.diff(patched.diff)
        return path

    @contextmanager
    def build_root(
        self, package: Package, files: Sequence[Path], spec_path: Path, needed: Sequence[Rpm]
    ) -> Iterator[Container]:
        """Yield a build root with a package's sources and spec, and the RPMs that it needs.

        It has no network: everything that a build needs is put in first.
        """
        ccache = self._settings.cache / "ccache" / self._target.name
        ccache.mkdir(parents=True, exist_ok=True)
        mounts = {ccache: ("/ccache", "rw")}
        with self._engine.container(
            self._image, mounts=mounts, owner=owner(self._settings, self._target), network="none"
        ) as container:
            container.run(["mkdir", "-p", f"{TOP}/SOURCES", f"{TOP}/SPECS", f"{TOP}/NEEDS"])
            container.put(spec_path, f"{TOP}/SPECS")
            with tempfile.TemporaryDirectory() as scratch:
                made = staging.made_sources(package, files, Path(scratch))
                for path in [*files, *versions.patches(package), *made]:
                    container.put(path, f"{TOP}/SOURCES")
            # Modes (which depend on the user's umask) and dates get into source RPMs; libvirt's
            # spec even reads its own date.
            inside = [f"{TOP}/SOURCES", f"{TOP}/SPECS"]
            container.run(["chmod", "-R", "u=rwX,go=rX", *inside], check=True)
            date = f"--date=@{staging.epoch(files)}"
            container.run(["find", *inside, "-exec", "touch", date, "{}", "+"], check=True)
            for rpm in needed:
                container.put(rpm.path, f"{TOP}/NEEDS")
            if needed:
                # With overlayfs, an old rpm needs its database copied up first (see el6's recipe).
                names = [f"{TOP}/NEEDS/{r.path.name}" for r in needed]
                script = 'find /var/lib/rpm -type f -exec touch {} + ; exec rpm -U "$@"'
                container.run(["sh", "-c", script, "sh", *names], check=True)
            yield container

    def prove(self, container: Container, package: Package, out: Path) -> list[Evidence]:
        """Expand the spec with rpm for this target; require evidence for all its claims."""
        with self._progress.stage(f"{package.name}: prove the spec") as part:
            found = gates.spec_gate(container, self._target, package, out)
            part.note = f"{len(found)} claims seen in rpm's own expansion" if found else ""
        return found

    def compile(
        self, container: Container, package: Package, out: Path, *, epoch: int = staging.EPOCH
    ) -> float:
        """Run rpmbuild, with its output in ``build.log``; return seconds. Raises CompileError.

        ``epoch`` (seconds since 1970) is the date of everything built.
        """
        argv = [
            "rpmbuild",
            "-ba",
            *defines(self._target, package),
            *package.rpmbuild_args,
            f"{TOP}/SPECS/{package.spec_file}",
        ]
        name = f"{package.name}: rpmbuild"
        with self._progress.stage(name) as part:
            started = self._clock.monotonic()
            log = out / "build.log"
            with log.open("w", encoding="utf-8") as handle:
                handle.write(f"$ {shlex.join(argv)}\n")

                def line(text: str) -> None:
                    handle.write(text + "\n")
                    part.line(text)

                env = {**environment(self._target), "SOURCE_DATE_EPOCH": str(epoch)}
                done = container.run(argv, env=env, on_line=line, keep=False)
            if done.code:
                raise self._failure(container, package, log, done)
            return self._clock.monotonic() - started

    def _failure(
        self, container: Container, package: Package, log: Path, done: Result
    ) -> BuildError:
        """Keep the failed build root and the log; return an error that names both."""
        kept = log
        if self._keep_failed:
            kept = self._settings.logs / f"{self._target.name}-{package.name}-build.log"
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(log, kept)
        if done.code in KILLED or not container.running:
            return BuildError(
                f"{package.name}: rpmbuild was killed before it ended; log: {kept}",
                hint="check the memory (`free -h`) and run the command again: the compiler cache "
                "has what was compiled",
            )
        tag = self._failed_tag(package)
        if self._keep_failed:
            container.commit(tag)
        error = buildlog.first_error(log.read_text(encoding="utf-8", errors="replace"))
        return CompileError(
            f"{package.name} did not build (rpmbuild: exit code {done.code}). First error:\n"
            f"    {error.replace(chr(10), chr(10) + '    ')}\n  log: {kept}",
            hint=f"open a shell in the failed build: `docker run --rm -it -w {TOP}/BUILD {tag} "
            "bash`",
        )

    def _failed_tag(self, package: Package) -> str:
        return f"sheepvirt/{self._target.name}-failed:{package.name}"


def _collect(container: Container, out: Path) -> list[Rpm]:
    """Copy all built RPMs to ``out``; return their headers, sorted by NEVRA."""
    with tempfile.TemporaryDirectory(dir=out.parent.parent) as scratch:
        for folder in ("RPMS", "SRPMS"):
            for path in container.get(f"{TOP}/{folder}", Path(scratch)).rglob("*.rpm"):
                path.replace(out / path.name)
    return sorted((rpms.read(p) for p in out.glob("*.rpm")), key=lambda r: r.nevra)


def _published(rpm: Rpm, package: Package) -> PublishedRpm:
    return PublishedRpm(
        name=rpm.name,
        nevra=rpm.nevra,
        file=f"{package.name}/{rpm.path.name}",
        sha256=rpm.sha256,
        header_sha1=rpm.header_sha1,
    )
