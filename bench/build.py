"""Pipeline time divided by bare rpmbuild time, in the same image, cold and with a warm ccache.

    python -m bench.build [--package libvirt] [--target rehearsal]

Each round runs the pipeline (sources to published repo) and then rpmbuild alone, its output thrown
away, on the same spec in a container of the same image. Both start from an empty compiler cache of
their own (cold) and then run again (warm). Nothing of the user's dist/ or cache is touched, but the
source cache is read. Takes about 20 minutes for libvirt on 2 cores.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.builds import execute, repo
from sheepvirt.builds.buildroot import TOP, defines, environment
from sheepvirt.config import catalog, inventory
from sheepvirt.core import settings
from sheepvirt.core.progress import Progress
from sheepvirt.engine.engine import Engine
from sheepvirt.images import recipes
from sheepvirt.rpm import rpms
from sheepvirt.run import Run

if TYPE_CHECKING:
    from sheepvirt.model.builds import Package, Target


def pipeline(run: Run, target: Target, package: Package) -> tuple[float, float]:
    """Build ``package`` and publish it; return seconds of the whole and of rpmbuild in it."""
    shutil.rmtree(run.settings.dist, ignore_errors=True)
    run = replace(run, progress=Progress())  # with the timings of this round alone
    execute.build_rpms(run, target, package.build_packages)
    started = time.monotonic()
    execute.build_rpms(run, target, [package.name])
    whole = time.monotonic() - started
    inner = next(t for t in run.progress.timings if t.stage == f"{package.name}: rpmbuild")
    return whole, inner.seconds


def bare(run: Run, target: Target, package: Package, image: str, ccache: Path) -> float:
    """Run rpmbuild alone on the spec that the pipeline just published; return seconds."""
    published = repo.home(run.settings, target.name)
    with run.engine.container(image, mounts={ccache: ("/ccache", "rw")}) as container:
        container.run(["mkdir", "-p", f"{TOP}/SOURCES", f"{TOP}/NEEDS"], check=True)
        for source in package.sources:
            folder = run.settings.sources / source.pin
            container.put(folder / source.file, f"{TOP}/SOURCES")
        for path in package.patches.glob("*.patch"):
            container.put(path, f"{TOP}/SOURCES")
        container.put(published / package.name / package.spec_file, TOP)
        needs = repo.published(run.settings, target.name)[package.name].inputs.packages
        for name in needs:
            for path in (published / name).glob("*.rpm"):
                if rpms.read(path).arch != "src":
                    container.put(path, f"{TOP}/NEEDS")
        container.run(["sh", "-c", f"rpm -U {TOP}/NEEDS/*.rpm"], check=bool(needs))
        argv = ["rpmbuild", "-ba", *defines(target, package), *package.rpmbuild_args]
        script = 'exec "$@" >/dev/null 2>&1'
        started = time.monotonic()
        container.run(
            ["sh", "-c", script, "sh", *argv, f"{TOP}/{package.spec_file}"],
            env=environment(target),
            check=True,
        )
        return time.monotonic() - started


def main() -> None:
    """Run both rounds and print the ratios."""
    parser = argparse.ArgumentParser(prog="python -m bench.build", description=__doc__)
    parser.add_argument("--package", default="libvirt")
    parser.add_argument("--target", default="rehearsal")
    options = parser.parse_args()
    users = settings.from_environment(os.environ)
    target = inventory.load_target(users, options.target)
    package = catalog.load_package(users, options.package)
    run = Run(settings=users, engine=Engine(), progress=Progress())
    image = recipes.ensure(run, target, "builder")
    with tempfile.TemporaryDirectory(prefix="sheepvirt-bench-") as scratch:
        own = replace(users, dist=Path(scratch) / "dist", cache=Path(scratch) / "cache")
        run = replace(run, settings=own)
        if users.sources.is_dir():
            shutil.copytree(users.sources, own.sources)
        rows = []
        for state in ("cold", "warm"):
            whole, inner = pipeline(run, target, package)
            ccache = Path(scratch) / "bare-ccache"
            ccache.mkdir(exist_ok=True)
            rows.append((state, whole, inner, bare(run, target, package, image, ccache)))
    print(f"\n{package.name}, target {target.name}: seconds, and ratio to bare rpmbuild")
    for state, whole, inner, alone in rows:
        print(
            f"  {state}: bare rpmbuild {alone:.1f}; rpmbuild in the pipeline {inner:.1f} "
            f"({inner / alone:.3f}x); whole pipeline {whole:.1f} ({whole / alone:.3f}x)"
        )


if __name__ == "__main__":
    main()
