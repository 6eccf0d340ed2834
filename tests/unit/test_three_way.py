"""Three-way comparison on what libvirt 7.0.0 really made: no list of what it adds is needed."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from finished import DATA, DOMAIN, GUEST, LIVE, NETWORK, POOL, WANTED, done
from hypothesis import given
from hypothesis import strategies as st

from sheepvirt.bootstrap.marks import Mark
from sheepvirt.bootstrap.steps import domain, network, pool, three_way
from sheepvirt.bootstrap.steps.three_way import canonical, compare, digest, runs_from_another
from sheepvirt.model.enums import ObjectKind, Origin

if TYPE_CHECKING:
    from sheepvirt.bootstrap.steps.marking import Wanted

MAKER = "libvirt 7.0.0"
PLAIN = domain.wanted_domain(WANTED, GUEST, done())
BRIDGED = network.wanted_network(WANTED, done())
POOLED = pool.wanted_pool(WANTED, done())
CASES = [(PLAIN, DOMAIN), (BRIDGED, NETWORK), (POOLED, POOL)]


def mark(one: Wanted, made: str, origin: Origin = Origin.DEFINED, **fields: str) -> Mark:
    values = {"sent": one.sent, "made": made, "maker": MAKER, **fields}
    return Mark(kind=one.kind, name=one.name, origin=origin, **values)


@pytest.mark.parametrize(("one", "made"), CASES, ids=["domain", "network", "pool"])
def test_what_libvirt_made_of_it_is_no_change(one: Wanted, made: str) -> None:
    assert compare(made, one.xml, one.sent, mark(one, made), MAKER) == three_way.Comparison()


@pytest.mark.parametrize(
    ("one", "made", "before", "added"),
    [
        (
            BRIDGED,
            NETWORK,
            "</network>",
            "<portgroup name='db'><vlan><tag id='42'/></vlan></portgroup>",
        ),
        (PLAIN, DOMAIN, "<memballoon", "<graphics type='vnc' port='-1' autoport='yes'/>"),
        # What a list of libvirt's additions would hide:
        (PLAIN, DOMAIN, "<memballoon", "<controller type='scsi' index='0' model='virtio-scsi'/>"),
        (PLAIN, DOMAIN, "<memballoon", "<input type='tablet' bus='usb'/>"),
        (POOLED, POOL, "</pool>", "<target><path>/x</path></target>"),
    ],
)
def test_what_somebody_added_is_drift_that_a_definition_would_drop(
    one: Wanted, made: str, before: str, added: str
) -> None:
    now = made.replace(before, f"{added}{before}")
    found = compare(now, one.xml, one.sent, mark(one, made), MAKER)
    assert found.foreign
    first = re.match(r"<\w+", added)
    assert first
    assert re.search(rf"(?m)^\+ +{first[0]}", found.diff)


def test_what_somebody_removed_is_drift_too() -> None:
    now = DOMAIN.replace("<input type='mouse' bus='ps2'/>", "")
    found = compare(now, PLAIN.xml, PLAIN.sent, mark(PLAIN, DOMAIN), MAKER)
    assert found.foreign
    assert '-    <input bus="ps2" type="mouse" />' in found.diff


def test_a_wanted_change_is_shown_as_what_is_sent_and_is_nobodys_loss() -> None:
    wished = replace(PLAIN, sent=PLAIN.sent.replace("250", "300").replace("256", "300"))
    xml = PLAIN.xml.replace("256", "300")
    found = compare(DOMAIN, xml, wished.sent, mark(PLAIN, DOMAIN), MAKER)
    assert not found.foreign
    assert "as sheepvirt sent it last" in found.diff
    assert "address" not in found.diff


def test_a_wanted_change_and_drift_are_both_shown() -> None:
    now = DOMAIN.replace("<memballoon", "<video/><memballoon")
    xml, sent = (text.replace("256", "300") for text in (PLAIN.xml, PLAIN.sent))
    found = compare(now, xml, sent, mark(PLAIN, DOMAIN), MAKER)
    assert found.foreign
    assert "as it would be sent now" in found.diff
    assert "+    <video />" in found.diff


def test_a_run_that_was_interrupted_before_its_note_left_no_drift() -> None:
    """The definition is the wanted one, and the note is still about the former."""
    former = mark(PLAIN, DOMAIN.replace("250000", "500000"), sent=PLAIN.sent.replace("256", "512"))
    found = compare(DOMAIN, PLAIN.xml, PLAIN.sent, former, MAKER)
    assert found.diff
    assert not found.foreign


def test_where_libvirts_answer_was_not_seen_all_that_goes_is_in_the_diff() -> None:
    xml, sent = (text.replace("256", "300") for text in (PLAIN.xml, PLAIN.sent))
    found = compare(DOMAIN, xml, sent, mark(PLAIN, DOMAIN, Origin.TAKEN), MAKER)
    assert not found.foreign
    assert '-    <controller index="0" model="pci-root" type="pci" />' in found.diff


def test_what_was_adopted_is_shown_whole_and_undone_only_by_consent() -> None:
    adopted = mark(PLAIN, DOMAIN, Origin.ADOPTED, sent="")
    hand_made = DOMAIN.replace("<memballoon", "<video/><memballoon")
    found = compare(hand_made, PLAIN.xml, PLAIN.sent, adopted, MAKER)
    assert found.foreign
    assert "-    <video />" in found.diff
    assert compare(DOMAIN, PLAIN.xml, PLAIN.sent, adopted, MAKER).diff == ""


def test_another_libvirt_may_write_the_same_with_other_additions() -> None:
    now = DOMAIN.replace("<memballoon", "<audio id='1' type='none'/><memballoon")
    noted = mark(PLAIN, DOMAIN)
    assert compare(now, PLAIN.xml, PLAIN.sent, noted, "libvirt 8").diff == ""
    assert compare(now, PLAIN.xml, PLAIN.sent, noted, MAKER).foreign


# What another start of the same definition makes of it.
RESTARTED = (
    ("id='2'", "id='17'"),
    ("/dev/pts/0", "/dev/pts/5"),
    ("dev='vnet1'", "dev='vnet9'"),
    ("index='1'/>", "index='3'/>"),
    ("+998:+999", "+998:+998"),
    ("<currentMemory unit='KiB'>250880", "<currentMemory unit='KiB'>131072"),
)


@given(st.sets(st.sampled_from(RESTARTED)))
def test_what_a_start_chooses_is_no_change(changed: set[tuple[str, str]]) -> None:
    again = LIVE
    for before, after in changed:
        again = again.replace(before, after)
    noted = mark(PLAIN, DOMAIN, live=LIVE, live_sent=digest(PLAIN.sent))
    assert runs_from_another(again, PLAIN.xml, PLAIN.sent, noted, MAKER) == ""
    # Nor where no start was noted, as on the hosts of before.
    assert runs_from_another(again, PLAIN.xml, PLAIN.sent, None, MAKER) == ""


@pytest.mark.parametrize("file", ["domain-live.xml", "domain-sheepdog-live.xml"])
def test_ports_that_libvirt_chose_are_no_change_and_given_ones_are(file: str) -> None:
    live = (DATA / file).read_text(encoding="utf-8")

    def with_vnc(port: int, auto: str) -> str:
        vnc = f"<graphics type='vnc' port='{port}' autoport='{auto}'/>"
        return canonical(live.replace("<memballoon", f"{vnc}<memballoon"), live=True)

    assert with_vnc(5900, "yes") == with_vnc(5907, "yes")
    assert with_vnc(5900, "no") != with_vnc(5907, "no")


def test_what_was_plugged_in_while_it_ran_is_a_difference() -> None:
    noted = mark(PLAIN, DOMAIN, live=LIVE, live_sent=digest(PLAIN.sent))
    plugged = LIVE.replace("<memballoon", "<controller type='scsi' index='0'/><memballoon")
    diff = runs_from_another(plugged, PLAIN.xml, PLAIN.sent, noted, MAKER)
    assert '+    <controller index="0" type="scsi" />' in diff


def test_a_guest_that_was_restarted_by_hand_runs_from_the_new_definition() -> None:
    """The noted start is of the former definition: the wanted text decides."""
    former = mark(PLAIN, DOMAIN, live=LIVE, live_sent=digest(PLAIN.sent.replace("256", "512")))
    assert runs_from_another(LIVE, PLAIN.xml, PLAIN.sent, former, MAKER) == ""


def test_of_what_was_adopted_only_the_stored_definition_is_compared() -> None:
    accepted = mark(PLAIN, DOMAIN, Origin.ADOPTED, live=LIVE, live_sent=digest(PLAIN.sent))
    again = LIVE.replace("<memballoon", "<video/><memballoon")
    assert runs_from_another(again, PLAIN.xml, PLAIN.sent, accepted, MAKER) == ""
    other = PLAIN.sent.replace("256", "512")
    assert runs_from_another(again, PLAIN.xml, other, accepted, MAKER) != ""


def elements() -> st.SearchStrategy[str]:
    tags = st.sampled_from(["graphics", "video", "controller", "input", "hostdev", "vsock", "rng"])
    return st.builds(lambda tag, n: f"<{tag} key='{n}'/>", tags, st.integers(0, 9))


@given(st.lists(elements(), max_size=4), st.lists(elements(), max_size=4))
def test_every_element_that_goes_is_a_line_of_the_diff(then: list[str], added: list[str]) -> None:
    """For any additions of any libvirt (``then``) and of anybody (``added``)."""

    def with_devices(extra: list[str]) -> str:
        return DOMAIN.replace("</devices>", f"{''.join(extra)}</devices>")

    made, now = with_devices(then), with_devices(then + added)
    found = compare(now, PLAIN.xml, PLAIN.sent, mark(PLAIN, made), MAKER)
    assert found.foreign == bool(added)
    gone = [line for line in found.diff.splitlines() if re.match(r"\+ +<", line)]
    assert len(gone) == len(added)


@given(st.sampled_from([DOMAIN, LIVE, NETWORK, POOL]), st.randoms(use_true_random=False))
def test_the_order_of_attributes_and_white_space_have_no_meaning(text: str, random: object) -> None:
    root = ElementTree.fromstring(text)
    for element in root.iter():
        names = list(element.keys())
        random.shuffle(names)  # type: ignore[attr-defined]
        for name in names:
            element.set(name, element.attrib.pop(name))
        element.tail = "\n" * random.randint(0, 3)  # type: ignore[attr-defined]
    root.tail = None
    assert canonical(ElementTree.tostring(root, encoding="unicode")) == canonical(text)


def test_the_identity_is_no_part_of_what_was_sent() -> None:
    known = domain.wanted_domain(WANTED, GUEST, done())
    assert known.kind == ObjectKind.DOMAIN
    assert "<uuid>" in known.xml
    assert "<uuid>" not in known.sent
    assert three_way.anonymous(known.xml) == known.sent
