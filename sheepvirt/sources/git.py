"""Sources pinned by a commit id: fetched by the user's git, verified by git's object ids.

The user's configuration applies (insteadOf, mirrors, proxies, credentials); git never prompts on a
terminal. A cached repository is always complete: it is made in a temporary folder and renamed.
"""

from __future__ import annotations

import gzip
import shutil
import signal
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sheepvirt.core import paths, processes
from sheepvirt.core.errors import SourceError, SourceUnreachableError
from sheepvirt.model.builds import TARBALL_SUFFIXES, Availability, GitSource

if TYPE_CHECKING:
    from sheepvirt.core.processes import Result
    from sheepvirt.core.progress import Stage
    from sheepvirt.core.settings import Settings

ASK = 10.0  # seconds for a server's answer
FETCH = 600.0  # seconds for a whole fetch
PINNED = "refs/sheepvirt/pinned"
# Make the tarball independent of the user's git settings for line ends and modes.
PLAIN = ("-c", "tar.umask=0022", "-c", "core.autocrlf=false", "-c", "core.attributesFile=/dev/null")
# Variables with which a calling git (such as a hook) tells its children their repository.
ELSEWHERE = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE",
             "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES"}  # fmt: skip  # a table


def home(settings: Settings, git: GitSource) -> Path:
    """Return where the bare repository of ``git`` is cached, or would be."""
    return settings.sources / "git" / f"{git.commit}.git"


def availability(settings: Settings, git: GitSource) -> Availability:
    """Tell whether ``git`` is available now: intact in the cache, or its server answers in time.

    The cached repository may be incomplete after a killed run or a full disk.
    """
    repository = home(settings, git)
    if _holds(repository, git.commit) and not _damage(repository):
        return Availability(True, "its source is in the cache")
    said = _git("ls-remote", "--quiet", git.url, "HEAD", seconds=ASK)
    if said.code:
        return Availability(False, f"{git.url} does not answer ({_words(said)[0]})")
    return Availability(True, f"{git.url} answers")


def tarball(
    settings: Settings, git: GitSource, file: str, stage: Stage, *, fetch: bool = True
) -> Path:
    """Export the pinned tree to a tarball ``file``; its top folder is ``file``'s stem.

    Raises SourceUnreachableError (git could not fetch, with its message; or ``fetch`` is off and
    the cache does not have it), SourceError (the repository has no such commit, or its content is
    damaged).
    """
    repository = home(settings, git)
    if _holds(repository, git.commit) and not _damage(repository):
        stage.line(f"{file}: commit {git.commit} is in the cache")
    elif not fetch:
        raise SourceUnreachableError(
            f"{file}: commit {git.commit} is incomplete in {repository}, and the network is off",
            hint="run the command again: the bundle has it",
        )
    else:
        stage.line(f"{file}: commit {git.commit} from {git.url}")
        _fetch(git, repository)
    folder = settings.sources / git.commit
    folder.mkdir(parents=True, exist_ok=True)
    suffix = next(kind for kind in TARBALL_SUFFIXES if file.endswith(kind))
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        tar = Path(scratch) / "tar"
        argv = (
            "archive",
            "--format=tar",
            f"--prefix={file.removesuffix(suffix)}/",
            f"--output={tar}",
            git.commit,
        )
        _require(_git(*PLAIN, *argv, repository=repository), f"{file}: git archive failed")
        if suffix == ".tar.gz":
            tar = _compressed(tar)
        return tar.replace(folder / file)


def _fetch(git: GitSource, repository: Path) -> None:
    """Make the bare ``repository`` with the pinned commit, atomically."""
    repository.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=repository.parent) as scratch:
        new = Path(scratch) / "new.git"
        _require(_init(new), f"git could not make a repository in {scratch}")
        said = _fetch_refs(git, new, "--depth=1", f"{git.commit}:{PINNED}")
        if said.code and "unadvertised object" in said.stderr:
            # An old server sends only commits that a ref names.
            said = _fetch_refs(git, new, "+refs/*:refs/*")
        missing = "not our ref" in said.stderr
        if said.code and not missing:
            raise SourceUnreachableError(
                f"git cannot fetch {git.url}:\n    " + "\n    ".join(_words(said)),
                hint="repair the network, or point your git at a mirror: `git config --global "
                f"url.MIRROR.insteadOf {git.url}`, or clone one into the cache: `git clone --bare "
                f"MIRROR {repository}`",
            )
        if missing or not _holds(new, git.commit):
            raise SourceError(
                f"{git.url} has no commit {git.commit}",
                hint="check the pin in package.toml; an outdated mirror lacks new commits",
            )
        damage = _damage(new)
        if damage:
            raise SourceError(
                f"{git.url}: the fetched objects are damaged:\n    {damage}",
                hint="run this again, or use another mirror; nothing was kept",
            )
        _keep(new, repository)


def _keep(new: Path, repository: Path) -> None:
    shutil.rmtree(repository, ignore_errors=True)
    new.replace(repository)


def pack(settings: Settings, git: GitSource, file: Path) -> None:
    """Write the objects of the cached commit, without its history, to ``file`` as a git pack.

    Raises SourceError: git failed.
    """
    repository = home(settings, git)
    listed = _git("rev-list", "--objects", "--no-walk", git.commit, repository=repository)
    _require(listed, f"{git.commit}: git rev-list failed")
    objects = "".join(f"{line.split()[0]}\n" for line in listed.stdout.splitlines())
    with tempfile.TemporaryDirectory(dir=file.parent) as scratch:
        argv = ("pack-objects", "--quiet", f"{scratch}/pack")
        _require(_git(*argv, repository=repository, stdin=objects), "git pack-objects failed")
        next(Path(scratch).glob("*.pack")).replace(file)


def unpack(settings: Settings, commit: str, file: Path) -> None:
    """Add ``commit`` from a pack made by ``pack`` to the cache; git hashes every object.

    Raises SourceError: the pack is damaged, or the commit in it is incomplete.
    """
    repository = home(settings, GitSource(url="", commit=commit))
    if _holds(repository, commit) and not _damage(repository):
        return
    repository.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=repository.parent) as scratch:
        new = Path(scratch) / "new.git"
        _require(_init(new), f"git could not make a repository in {scratch}")
        inside = new / "objects" / "pack" / "pack-bundle.pack"
        shutil.copyfile(file, inside)
        (new / "shallow").write_text(f"{commit}\n", encoding="ascii")  # without its history
        said = _git("index-pack", str(inside), repository=new)
        said = said if said.code else _git("update-ref", PINNED, commit, repository=new)
        damage = "\n    ".join(_words(said)) if said.code else _damage(new)
        if damage or not _holds(new, commit):
            raise SourceError(
                f"the pack of commit {commit} is damaged:\n    {damage or 'it has no such commit'}",
                hint="make the bundle again; nothing was kept",
            )
        _keep(new, repository)


def own_revision() -> str:
    """Return the revision of sheepvirt's own checkout; "" where it is installed: none is known."""
    return revision(paths.ROOT) if paths.IN_CHECKOUT else ""


def revision(folder: Path) -> str:
    """Return the commit id of the checkout ``folder``, with "+" if changed; "" if it is none."""
    head = _git("-C", str(folder), "rev-parse", "--verify", "HEAD")
    if head.code:
        return ""
    changed = _git("-C", str(folder), "status", "--porcelain", "--untracked-files=no")
    return head.stdout.strip() + ("+" if changed.stdout.strip() or changed.code else "")


def _init(repository: Path) -> Result:
    return _git("init", "--quiet", "--bare", "--template=", "--object-format=sha1", str(repository))


def _fetch_refs(git: GitSource, repository: Path, *what: str) -> Result:
    *options, refspec = what
    argv = ("-c", "gc.auto=0", "fetch", "--quiet", "--no-tags", *options, git.url, refspec)
    return _git(*argv, repository=repository, seconds=FETCH)


def _holds(repository: Path, commit: str) -> bool:
    """Tell whether ``commit`` exists and is a commit (a tag's id names another object)."""
    if not repository.is_dir():
        return False
    argv = ("rev-parse", "--quiet", "--verify", f"{commit}^{{commit}}")
    return _git(*argv, repository=repository).stdout.strip() == commit


def _damage(repository: Path) -> str:
    """Return the damage that git finds when it hashes every object again, or ""."""
    done = _git("fsck", "--no-dangling", "--no-progress", repository=repository, seconds=FETCH)
    return "\n    ".join(_words(done)) if done.code else ""


def _compressed(tar: Path) -> Path:
    path = tar.with_suffix(".gz")
    with (
        tar.open("rb") as source,
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as out,
    ):
        shutil.copyfileobj(source, out)
    return path


def _require(done: Result, what: str) -> None:
    if done.code:
        raise SourceError(f"{what}: {_words(done)[0]}", hint="is the cache writable and not full?")


def _words(done: Result) -> list[str]:
    lines = [line.strip().removeprefix("fatal: ") for line in done.stderr.splitlines()]
    return [line for line in lines if line][:5] or [f"exit code {done.code}"]


def _git(
    *argv: str, repository: Path | None = None, seconds: float = FETCH, stdin: str = ""
) -> Result:
    """Run git on no other repository than ``repository``; kill it and its helpers on timeout.

    It has no terminal, so neither git nor its ssh asks anything.
    """
    where = ("--git-dir", str(repository)) if repository else ()
    done = processes.run(
        ["git", *where, *argv],
        stdin=stdin.encode(),
        env={"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"},
        without=ELSEWHERE.__contains__,
        cwd="/",
        seconds=seconds,
    )
    if done.code == -signal.SIGKILL:
        return replace(done, stderr=f"no answer within {seconds:.0f} s")
    if done.code == processes.ABSENT:
        return replace(done, stderr="git is not installed")
    return done
