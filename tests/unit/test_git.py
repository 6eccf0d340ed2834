"""Sources pinned by commit: the user's git fetches, git's ids verify, one commit is one tarball.

Real git, repositories of the test's own, no network.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sheepvirt.core.errors import SourceError, SourceUnreachableError
from sheepvirt.core.progress import Stage, quiet
from sheepvirt.model.builds import BundleSources, GitSource, Source
from sheepvirt.sources import git, store

if TYPE_CHECKING:
    from sheepvirt.core.settings import Settings

URL = "https://upstream.invalid/tiny.git"
FILE = "tiny-1.tar.gz"


def run(repository: Path, *argv: str, input: str = "") -> str:
    done = subprocess.run(
        ["git", "-C", str(repository), *argv],
        check=True,
        capture_output=True,
        text=True,
        input=input,
    )
    return done.stdout.strip()


def commit(repository: Path, text: str) -> str:
    (repository / "spec").write_text(text)
    run(repository, "add", "spec")
    run(repository, "commit", "--quiet", "--message", text)
    return run(repository, "rev-parse", "HEAD")


@pytest.fixture(autouse=True)
def gitconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's git configuration: the only thing that knows where URL leads."""
    path = tmp_path / "gitconfig"
    path.write_text(
        f'[user]\nname = A\nemail = a@b.invalid\n[url "{tmp_path}/mirror/"]\n'
        "insteadOf = https://upstream.invalid/\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return path


@pytest.fixture
def upstream(tmp_path: Path) -> Path:
    path = tmp_path / "mirror" / "tiny.git"
    path.mkdir(parents=True)
    run(path, "init", "--quiet")
    return path


def fetch(settings: Settings, pin: str) -> Path:
    source = Source(file=FILE, git=GitSource(url=URL, commit=pin))
    return store.fetch(settings, source, Stage("sources", quiet()))


def kept(folder: Path) -> list[str]:
    home = folder / "cache" / "sources" / "git"
    return [p.name for p in home.iterdir()] if home.exists() else []


def test_a_commit_becomes_a_tarball_by_way_of_the_users_mirror(
    settings: Settings, upstream: Path
) -> None:
    pin = commit(upstream, "one\n")
    commit(upstream, "two\n")
    availability = git.availability(settings, GitSource(url=URL, commit=pin))
    assert availability.why == f"{URL} answers"
    path = fetch(settings, pin)
    assert path.name == FILE
    with tarfile.open(path) as archive:
        assert archive.getnames() == ["tiny-1", "tiny-1/spec"]
        member = archive.extractfile("tiny-1/spec")
        assert member is not None
        assert member.read() == b"one\n"


def test_the_tarball_is_the_same_whatever_the_user_has_set(
    settings: Settings,
    upstream: Path,
    gitconfig: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pin = commit(upstream, "one\n")
    first = fetch(settings, pin).read_bytes()
    with gitconfig.open("a") as handle:
        handle.write(
            '[tar]\numask = 077\n[core]\nautocrlf = true\n[tar "tar.gz"]\ncommand = false\n'
        )
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "of a hook"))
    assert fetch(replace(settings, cache=tmp_path / "other"), pin).read_bytes() == first


def test_what_is_in_the_cache_needs_no_upstream(settings: Settings, upstream: Path) -> None:
    pin = commit(upstream, "one\n")
    first = fetch(settings, pin).read_bytes()
    upstream.rename(upstream.with_name("gone"))
    availability = git.availability(settings, GitSource(url=URL, commit=pin))
    assert availability.why == "its source is in the cache"
    assert fetch(settings, pin).read_bytes() == first


def test_a_cached_repository_that_went_bad_is_fetched_again(
    settings: Settings, upstream: Path
) -> None:
    pin = commit(upstream, "one\n")
    first = fetch(settings, pin).read_bytes()
    home = git.home(settings, GitSource(url=URL, commit=pin))
    blob = run(home, "rev-parse", f"{pin}:spec")
    other = run(home, "hash-object", "-w", "--stdin-paths", input="/dev/null")
    paths = [home / "objects" / name[:2] / name[2:] for name in (blob, other)]
    paths[0].unlink()
    paths[1].replace(paths[0])
    assert fetch(settings, pin).read_bytes() == first
    upstream.rename(upstream.with_name("gone"))
    paths[0].unlink()
    with pytest.raises(SourceUnreachableError):
        fetch(settings, pin)


def test_a_cached_repository_that_was_cut_short_is_not_in_the_cache(
    settings: Settings, upstream: Path
) -> None:
    pin = commit(upstream, "one\n")
    fetch(settings, pin)
    upstream.rename(upstream.with_name("gone"))
    source = GitSource(url=URL, commit=pin)
    for path in (git.home(settings, source) / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    availability = git.availability(settings, source)
    assert not availability.ok
    assert "does not answer" in availability.why


CUT = """\
#!{python}
import os, subprocess, sys
with subprocess.Popen(["git-upload-pack", *sys.argv[1:]], stdout=subprocess.PIPE) as server:
    left = 100_000
    while left > 0 and (data := os.read(server.stdout.fileno(), left)):
        os.write(1, data)
        left -= len(data)
    server.kill()
"""


def test_a_server_that_answers_and_breaks_off_leaves_nothing(
    settings: Settings, upstream: Path, gitconfig: Path, tmp_path: Path
) -> None:
    (upstream / "noise").write_bytes(os.urandom(200_000))
    run(upstream, "add", "noise")
    pin = commit(upstream, "one\n")
    cut = tmp_path / "upload-pack"  # git's own server, whose answer ends after 100,000 bytes
    cut.write_text(CUT.format(python=sys.executable))
    cut.chmod(0o755)
    with gitconfig.open("a") as handle:
        handle.write(f'[protocol "ext"]\nallow = always\n[url "ext::{cut} {upstream}"]\n')
        handle.write(f"insteadOf = {URL}\n")
    availability = git.availability(settings, GitSource(url=URL, commit=pin))
    assert availability.why == f"{URL} answers"
    with pytest.raises(SourceUnreachableError, match=f"git cannot fetch {URL}") as caught:
        fetch(settings, pin)
    assert "insteadOf" in caught.value.hint
    assert kept(tmp_path) == []


def test_a_commit_that_upstream_does_not_have_is_named(
    settings: Settings, upstream: Path, tmp_path: Path
) -> None:
    commit(upstream, "one\n")
    with pytest.raises(SourceError, match=f"{URL} has no commit {'ab' * 20}") as caught:
        fetch(settings, "ab" * 20)
    assert not isinstance(caught.value, SourceUnreachableError)
    assert kept(tmp_path) == []


def test_the_id_of_a_tag_is_no_commit(settings: Settings, upstream: Path, tmp_path: Path) -> None:
    commit(upstream, "one\n")
    run(upstream, "tag", "--annotate", "--message", "one", "v1")
    with pytest.raises(SourceError, match="has no commit"):
        fetch(settings, run(upstream, "rev-parse", "v1"))
    assert kept(tmp_path) == []


def test_a_server_that_gives_no_commit_by_its_id_gives_its_branches(
    settings: Settings, upstream: Path, gitconfig: Path, tmp_path: Path
) -> None:
    pin = commit(upstream, "one\n")
    commit(upstream, "two\n")
    with gitconfig.open("a") as handle:
        handle.write("[protocol]\nversion = 0\n")
    with tarfile.open(fetch(settings, pin)) as archive:
        assert archive.getnames() == ["tiny-1", "tiny-1/spec"]
    with pytest.raises(SourceError, match=f"has no commit {'ab' * 20}"):
        fetch(settings, "ab" * 20)
    assert kept(tmp_path) == [f"{pin}.git"]


def test_out_of_reach_says_what_git_said_and_how_to_name_a_mirror(
    settings: Settings, tmp_path: Path
) -> None:
    availability = git.availability(settings, GitSource(url=URL, commit="ab" * 20))
    assert not availability.ok
    assert URL in availability.why
    with pytest.raises(SourceUnreachableError, match="does not appear to be a git rep") as caught:
        fetch(settings, "ab" * 20)
    assert f"insteadOf {URL}" in caught.value.hint
    assert caught.value.exit_code == 3
    assert kept(tmp_path) == []


def test_a_pack_takes_a_commit_without_its_history_to_another_machine(
    settings: Settings, upstream: Path, tmp_path: Path
) -> None:
    commit(upstream, "zero\n")
    pin = commit(upstream, "one\n")
    first = fetch(settings, pin).read_bytes()
    pack = tmp_path / "a.pack"
    git.pack(settings, GitSource(url=URL, commit=pin), pack)
    upstream.rename(upstream.with_name("gone"))
    settings = replace(settings, cache=tmp_path / "other")
    git.unpack(settings, pin, pack)
    wanted = Source(file=FILE, git=GitSource(url=URL, commit=pin))
    bundle_sources = BundleSources(name="b.tar", holds=frozenset({(pin, FILE)}))
    found = store.fetch(settings, wanted, Stage("sources", quiet()), bundle_sources=bundle_sources)
    assert found.read_bytes() == first
    assert not git._damage(git.home(settings, GitSource(url=URL, commit=pin)))


def test_a_pack_of_another_commit_or_a_damaged_one_is_not_kept(
    settings: Settings, upstream: Path, tmp_path: Path
) -> None:
    pin = commit(upstream, "one\n")
    fetch(settings, pin)
    pack = tmp_path / "a.pack"
    git.pack(settings, GitSource(url=URL, commit=pin), pack)
    settings = replace(settings, cache=tmp_path / "cache2")
    with pytest.raises(SourceError, match=f"the pack of commit {'ab' * 20} is damaged"):
        git.unpack(settings, "ab" * 20, pack)
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.write_bytes(data)
    with pytest.raises(SourceError, match=f"the pack of commit {pin} is damaged"):
        git.unpack(settings, pin, pack)
    pack.write_bytes(b"")
    with pytest.raises(SourceError, match="is damaged"):
        git.unpack(settings, pin, pack)
    assert list((tmp_path / "cache2" / "sources" / "git").iterdir()) == []


def test_from_a_bundle_git_fetches_nothing(settings: Settings, upstream: Path) -> None:
    pin = commit(upstream, "one\n")
    wanted = Source(file=FILE, git=GitSource(url=URL, commit=pin))
    bundle_sources = BundleSources(name="b.tar", holds=frozenset({(pin, FILE)}))
    with pytest.raises(SourceUnreachableError, match="the network is off"):
        store.fetch(settings, wanted, Stage("sources", quiet()), bundle_sources=bundle_sources)


def test_a_checkout_says_its_commit_and_whether_it_was_changed(
    upstream: Path, tmp_path: Path
) -> None:
    assert git.revision(tmp_path) == ""
    pin = commit(upstream, "one\n")
    assert git.revision(upstream) == pin
    (upstream / "spec").write_text("other\n")
    assert git.revision(upstream) == f"{pin}+"


def test_a_server_that_hangs_is_given_up_with_all_that_git_started(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {tmp_path}/helper\nwait\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{fake.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(git, "ASK", 1.0)
    started = time.monotonic()
    availability = git.availability(settings, GitSource(url=URL, commit="ab" * 20))
    assert time.monotonic() - started < 10
    assert "no answer within" in availability.why
    helper = int((tmp_path / "helper").read_text())
    deadline = time.monotonic() + 5  # a killed process is gone a moment later
    while _lives(helper):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _lives(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except OSError:
        return False


def test_without_git_a_source_is_out_of_reach(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert git.availability(settings, GitSource(url=URL, commit="ab" * 20)).why == (
        f"{URL} does not answer (git is not installed)"
    )
