"""Adjust upstream's spec as ``[adjust]`` of package.toml says. Pure.

An intent serves one feature in specs of every age. Adjustments are everything else that one spec
needs to build here. ``apply`` reports each change, ``prove`` checks rpm's expansion.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sheepvirt.core.errors import SpecError
from sheepvirt.model.builds import Adjustment, Evidence
from sheepvirt.model.enums import Gate
from sheepvirt.spec import added_files
from sheepvirt.spec.draft import Draft, unified_diff
from sheepvirt.spec.lines import Line, build_section, by_section, has_tags
from sheepvirt.spec.model import ArgumentRule, DependencyRule, Patched
from sheepvirt.spec.reader import read
from sheepvirt.spec.rules import argument_seen, asks_for

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TAGS = ("BuildRequires", "Requires")
PLACEHOLDER = re.compile(r"@\w+@")
CONFIGURE = re.compile(r"%(?:configure|\{configure\})(?!\w)")
CONTRARY = {"--enable-": "--disable-", "--disable-": "--enable-",
            "--with-": "--without-", "--without-": "--with-"}  # fmt: skip  # a table


def apply(text: str, adjustment: Adjustment, macros: Mapping[str, str], *, name: str) -> Patched:
    """Return the spec with ``adjustment`` applied. Raises SpecError: a part does not fit."""
    if not text:
        raise SpecError(f"{name} is empty", hint="check that it is a spec")
    draft = Draft.of(text)
    actions: list[str] = []
    for placeholder, value in adjustment.substitute.items():
        count = draft.text.count(placeholder)
        draft = draft.edited([piece.replace(placeholder, value) for piece in draft.pieces])
        actions.append(f"{placeholder}: {value!r} in {count} places")
    _require_filled(draft, name)
    spec = read(draft, {**macros, **adjustment.define})
    lines = list(spec.lines)
    new = [line.text for line in lines]
    actions += _drop(lines, new, adjustment.without)
    actions += _ask_for(lines, new, adjustment.build_requires, name)
    actions += _configure(lines, new, adjustment.configure, name)
    actions += _release(lines, new, adjustment.release, name)
    actions += added_files.add(spec, new, adjustment.files, name)
    head = [f"%global {macro} {value}\n" for macro, value in adjustment.define.items()]
    if head:
        new[0] = "".join([*head, new[0]])
    draft = draft.edited(new)
    actions += [line.strip() for line in head]
    diff = unified_diff(text, draft.text, name)
    return Patched(
        text=draft.text, diff=diff, actions=tuple(actions), already=draft.text == text, draft=draft
    )


def _require_filled(draft: Draft, name: str) -> None:
    for piece, origin in zip(draft.pieces, draft.origins, strict=True):
        left = PLACEHOLDER.search(piece)
        if left:
            number = origin.number + piece.count("\n", 0, left.start())
            raise SpecError(
                f"{name}: line {number}: {left.group()} has no value",
                hint="add it to [adjust] substitute in package.toml",
            )


def _drop(lines: Sequence[Line], new: list[str], without: Sequence[str]) -> list[str]:
    """Remove dependencies from all tags; remove a tag that becomes empty."""
    actions = []
    for word in without:
        one = re.compile(rf"(?<![^\s,]){re.escape(word)}(?![^\s,])(?:\s*[<>=]+\s*[^\s,]+)?[\s,]*")
        hits = []
        for index, line in enumerate(lines):
            tag, colon, value = new[index].partition(":")
            if not colon or not line.tag or not line.tag[0].startswith(("requires", "buildreq")):
                continue
            rest = one.sub("", value.strip()).strip(" ,")
            if rest != value.strip():
                hits.append(str(line.origin.number))
                space = value[: len(value) - len(value.lstrip())]
                new[index] = f"{tag}:{space}{rest}\n" if rest else ""
        actions.append(f"without {word}: " + (f"line {', '.join(hits)}" if hits else "unchanged"))
    return actions


def _ask_for(lines: Sequence[Line], new: list[str], wanted: Sequence[str], name: str) -> list[str]:
    """Add the missing BuildRequires after the last one of the preamble."""
    tags = [line for line in lines if not line.section and not line.branches and line.tag]
    asking = [line for line in tags if line.tag and line.tag[0] == "buildrequires"]
    missing = [
        word
        for word in wanted
        if not any(asks_for(line.text, _rule("BuildRequires", word)) for line in asking)
    ]
    if not missing:
        return []
    if not tags:
        raise SpecError(f"{name} has no tag in its preamble", hint="check that it is a spec")
    anchor = (asking or tags)[-1]
    # A macro may be empty on the target, and rpm refuses an empty tag: it goes on another's line.
    macros = "".join(f" {word}" for word in missing if word.startswith("%"))
    added = "".join(f"BuildRequires: {w}\n" for w in missing if not w.startswith("%"))
    if not added and not asking:
        raise SpecError(
            f"{name} has no BuildRequires on whose line{macros} could be added",
            hint="add a name that every target has to [adjust] build_requires",
        )
    index = anchor.number - 1
    new[index] = f"{(new[index] + added).rstrip()}{macros}\n"
    return [f"BuildRequires: {', '.join(missing)}: after line {anchor.origin.number}"]


def _configure(lines: Sequence[Line], new: list[str], words: Sequence[str], name: str) -> list[str]:
    """Add words to the end of the spec's configure command."""
    if not words:
        return []
    for line in lines:
        if line.section == "build" and line.live and CONFIGURE.search(line.text):
            index = line.number - 1
            while new[index].rstrip().endswith("\\") and index + 1 < len(new):
                index += 1
            new[index] = f"{new[index].rstrip()} {' '.join(words)}\n"
            return [f"configure {' '.join(words)}: line {lines[index].origin.number}"]
    raise SpecError(
        f"{name} has no %configure in %build",
        hint="remove `configure` from [adjust] in package.toml, or write your own spec",
    )


def _release(lines: Sequence[Line], new: list[str], ending: str, name: str) -> list[str]:
    """Make the release end in ``ending`` (``%{?dist}``)."""
    if not ending:
        return []
    for line in lines:
        if line.live and not line.section and line.tag and line.tag[0] == "release":
            index = line.number - 1
            if ending in new[index]:
                return [f"release: ends in {ending} already (line {line.origin.number})"]
            new[index] = f"{new[index].rstrip()}{ending}\n"
            return [f"release: {ending} added to line {line.origin.number}"]
    raise SpecError(f"{name} has no Release in its preamble", hint="check that it is a spec")


def prove(
    adjustment: Adjustment, values: Mapping[str, str], expanded: str, *, package: str
) -> tuple[Evidence, ...]:
    """Check the output of ``rpmspec -P``. ``values`` has rpm's expansion of each required word.

    A word whose expansion is empty on the target is not required there.
    """
    sections = by_section(expanded)
    tags = [line for name, lines in sections.items() if has_tags(name) for line in lines]
    found: list[Evidence] = []

    def add(claim: str, seen: str, ok: bool) -> None:
        found.append(
            Evidence(
                gate=Gate.SPEC, package=package, feature="adjust", claim=claim, observed=seen, ok=ok
            )
        )

    for word in adjustment.without:
        asking = [t.strip() for t in tags if any(asks_for(t, _rule(tag, word)) for tag in TAGS)]
        add(f"nothing asks for {word}", "; ".join(asking) or "nothing does", not asking)
    for word in filter(None, (values[w] for w in adjustment.build_requires)):
        asking = [t.strip() for t in tags if asks_for(t, _rule("BuildRequires", word))]
        add(f"BuildRequires: {word}", "; ".join(asking) or "not in the expanded spec", bool(asking))
    ending = values[adjustment.release] if adjustment.release else ""
    if ending:
        releases = [t.partition(":")[2].strip() for t in tags if t.lower().startswith("release:")]
        seen = ", ".join(releases) or "no release"
        add(f"the release ends in {ending}", seen, bool(releases) and releases[0].endswith(ending))
    for word in filter(None, (values[w] for w in adjustment.configure)):
        rule = ArgumentRule(on=(word,), off=_contrary(word), add="", anchors=())
        claim, seen, ok = argument_seen(rule, build_section(sections))
        add(claim, seen or "not in the expanded spec", ok)
    return (*found, *added_files.prove(adjustment.files, values, sections, package=package))


def _rule(tag: str, name: str) -> DependencyRule:
    return DependencyRule(tag=tag, name=name, packages=(), anchors=())


def _contrary(word: str) -> tuple[str, ...]:
    """Return the option that would undo ``word`` after it."""
    for prefix, other in CONTRARY.items():
        if word.startswith(prefix):
            return (other + word.removeprefix(prefix).partition("=")[0],)
    return ()
