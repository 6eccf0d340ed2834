"""What is sheepvirt's of a host's objects: read the marks, write them, define with them.

An object without a mark counts as sheepvirt's if it is as sheepvirt makes it now, or as the file
says that sheepvirt sent last. That is how the hosts are recognised that were bootstrapped before
there were marks, and what an interrupted run had made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from sheepvirt.bootstrap import marks
from sheepvirt.bootstrap.marks import Mark
from sheepvirt.bootstrap.steps.base import STATE
from sheepvirt.bootstrap.steps.definition import difference, identity, is_marked, lifecycle
from sheepvirt.bootstrap.steps.three_way import (
    Comparison,
    anonymous,
    canonical,
    compare,
    digest,
    drifted,
    runs_from_another,
)
from sheepvirt.model.enums import ObjectKind, Origin
from sheepvirt.model.hosts import Change

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sheepvirt.bootstrap.facts.facts import Facts
    from sheepvirt.bootstrap.facts.libvirt import Definition
    from sheepvirt.bootstrap.steps.base import DesiredState, StepContext

# virsh's commands about one kind: define a file, print the stored definition.
VIRSH = {
    ObjectKind.NETWORK: ("net-define", "net-dumpxml"),
    ObjectKind.POOL: ("pool-define", "pool-dumpxml"),
    ObjectKind.DOMAIN: ("define", "dumpxml"),
}
MAKERS = ("libvirt-daemon", "qemu-kvm")
FORMER = "the former one is kept"  # said in the plan of what is replaced
# Each note is two lines of standard input: its file and its content.
NOTE = f"""
set -e
umask 077
mkdir -p {marks.FOLDER}
while read -r file && read -r line; do
  new={marks.FOLDER}/$file.new
  printf '%s\\n' "$line" >"$new" || {{ rm -f "$new"; exit 1; }}
  mv -f "$new" "{marks.FOLDER}/$file"
done
"""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A wanted object of libvirt."""

    kind: ObjectKind
    name: str
    xml: str  # with the identity that libvirt has chosen, if it has
    sent: str  # the canonical text without that


Pair = tuple[Wanted, "Definition | None"]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """Whose an object is."""

    mark: Mark | None = None  # None: there is no such object
    noted: bool = False  # the mark is on the host
    ours: bool = True


def maker(facts: Facts) -> str:
    """Return who writes definitions on the host."""
    found = [facts.packages.get(name, "") for name in MAKERS]
    return " ".join([*filter(None, found), facts.kernel])


def sent_file(kind: ObjectKind, name: str) -> str:
    """Return the path of the file with what was sent last."""
    return f"{STATE}/{kind}-{name}.xml"


def standing(one: Wanted, state: Definition | None, facts: Facts) -> Standing:
    """Tell whose an object of libvirt is, and return its mark, or the one that it will have."""
    if state is None or not state.xml:
        return Standing()
    uuid = identity(state.xml)["uuid"]
    noted = facts.marks.get((one.kind, one.name))
    if noted and noted.uuid == uuid:
        return Standing(mark=noted, noted=True)
    mark = Mark(
        kind=one.kind,
        name=one.name,
        origin=Origin.TAKEN,
        uuid=uuid,
        made=state.xml,
        maker=maker(facts),
    )
    former = _readable(facts.texts.get(sent_file(one.kind, one.name), ""))
    for xml, sent in ((one.xml, one.sent), (former, anonymous(former) if former else "")):
        if xml and not difference(state.xml, xml):
            return Standing(mark=_with_live(replace(mark, sent=sent), state, xml))
    adopted = replace(mark, origin=Origin.ADOPTED)
    return Standing(mark=adopted, ours=one.kind == ObjectKind.DOMAIN and is_marked(state.xml))


def _with_live(mark: Mark, state: Definition, xml: str) -> Mark:
    """Return a domain's ``mark`` with the running definition, if that came from ``xml``."""
    domain = mark.kind == ObjectKind.DOMAIN
    if not domain or not state.live_xml or difference(state.live_xml, xml, live=True):
        return mark
    return replace(mark, live=state.live_xml, live_sent=digest(mark.sent))


def _readable(text: str) -> str:
    try:
        ElementTree.fromstring(text or "<none/>")
    except ElementTree.ParseError:
        return ""
    return text


def compared(
    wanted: DesiredState, one: Wanted, state: Definition | None, facts: Facts
) -> Comparison:
    """Compare the stored definition with the wanted one.

    Where nothing is stored, libvirt shows the running definition in its place. A new one undoes
    nothing that is stored, but a network or pool is restarted with it.
    """
    if state is None:
        return compare("", one.xml, one.sent, None, "")
    mark = _mark(wanted, one, state, facts)
    if not state.persistent:
        adopted = mark is not None and mark.origin == Origin.ADOPTED
        return replace(compare(state.xml, one.xml, one.sent, None, ""), foreign=adopted)
    if mark and mark.origin == Origin.ADOPTED and one.name in wanted.consent.replaced:
        # Asked for by name: also where what was adopted is no change by itself.
        return Comparison(diff=difference(state.xml, one.xml, whole=True), foreign=True)
    return compare(state.xml, one.xml, one.sent, mark, maker(facts))


def restart(wanted: DesiredState, one: Wanted, state: Definition | None, facts: Facts) -> str:
    """Return how a running domain differs from the wanted definition; "" if it does not."""
    if state is None or not state.live_xml:
        return ""
    mark = _mark(wanted, one, state, facts)
    return runs_from_another(state.live_xml, one.xml, one.sent, mark, maker(facts))


def _mark(wanted: DesiredState, one: Wanted, state: Definition | None, facts: Facts) -> Mark | None:
    """Return the mark that the object has once step ``ownership`` is done, in a plan as well."""
    if one.name in wanted.consent.adopted and (found := accepted(one, state, facts)):
        return found[0]
    return standing(one, state, facts).mark


def said(one: Wanted, state: Definition | None, found: Comparison, verb: str = "defined") -> str:
    """Return the words of a plan for a new definition."""
    undone = "; it undoes what somebody else made or changed" if found.foreign else ""
    return f"{one.name} {verb}{undone}{f'; {FORMER}' if state else ''}"


def changes(
    step: str,
    wanted: DesiredState,
    one: Wanted,
    state: Definition | None,
    facts: Facts,
    *,
    more: Sequence[Change] = (),
) -> list[Change]:
    """Return what a network or pool needs: its definition, and to be up and autostarted.

    ``more`` is its restart, where that is a change of its own.
    """
    found = compared(wanted, one, state, facts)
    waits_for = waits(wanted, one.name, found)
    redefined = bool(found.diff) and not waits_for
    later = [*more, *lifecycle(step, one.name, state, redefined=redefined)]
    if not found.diff:
        return later
    verb = "defined, and restarted" if state and state.active and not more else "defined"
    what = said(one, state, found, verb)
    return [Change(step=step, what=what, diff=found.diff, waits_for=waits_for), *later]


def accepted(one: Wanted, state: Definition | None, facts: Facts) -> tuple[Mark, str] | None:
    """Return the mark with somebody's change accepted, and the change; None if there is none."""
    found = standing(one, state, facts)
    if state is None or found.mark is None or not found.noted:
        return None
    drift = drifted(state.xml, found.mark, maker(facts))
    # What a network still runs from is no drift.
    live = found.mark.live if one.kind == ObjectKind.DOMAIN else ""
    live_now = live and canonical(state.live_xml or live, live=True)
    changed_live = live_now != (live and canonical(live, live=True))
    if not drift and not changed_live:
        return None
    mark = replace(
        found.mark,
        origin=Origin.ADOPTED,
        made=state.xml,
        maker=maker(facts),
        live=state.live_xml if changed_live else found.mark.live,
    )
    return mark, drift


def waits(wanted: DesiredState, name: str, found: Comparison) -> str:
    """Return the option that a new definition waits for: it would undo somebody's change."""
    return wanted.consent.waits_for_replacement(name) if found.foreign else ""


def define(
    one: Wanted, state: Definition | None, facts: Facts, context: StepContext, *first: str
) -> Mark:
    """Define an object, after its former definition was kept; return its new mark.

    ``first`` is a command of virsh that comes before the definition.
    """
    verb, dump = VIRSH[one.kind]
    if state is not None and state.persistent:
        context.keep((one.kind, one.name))
    path = sent_file(one.kind, one.name)
    context.connection.write(path, one.xml.encode())
    if first:
        context.virsh(*first)
    context.virsh(verb, path)
    made = context.read_virsh(dump, "--inactive", one.name)
    before = standing(one, state, facts).mark or Mark(
        kind=one.kind, name=one.name, origin=Origin.DEFINED
    )
    return replace(
        before,
        origin=Origin.DEFINED,
        uuid=identity(made)["uuid"],
        sent=one.sent,
        made=made,
        maker=maker(facts),
    )


def define_as_it_runs(kind: ObjectKind, name: str, text: str, context: StepContext) -> None:
    """Make an object persistent by its running definition."""
    path = f"{STATE}/{kind}-as-it-runs-{name}.xml"
    context.connection.write(path, text.encode())
    context.virsh(VIRSH[kind][0], path)


def started(mark: Mark, context: StepContext) -> Mark:
    """Return the mark of a domain that was just started from its definition."""
    live = context.read_virsh("dumpxml", mark.name)
    return replace(mark, live=live, live_sent=digest(mark.sent))


def note(context: StepContext, found: Iterable[Mark]) -> None:
    """Write marks on the host."""
    rows = "".join(f"{mark.file}\n{mark.line}\n" for mark in found)
    if rows:
        context.connection.run(["sh", "-c", NOTE], stdin=rows.encode())
