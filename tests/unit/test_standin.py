"""Which lines are marked as being about a stand-in."""

import pytest

from sheepvirt.config import catalog
from sheepvirt.model import standin
from tests.here import SETTINGS

WORDS = standin.words(
    [catalog.load_package(SETTINGS, "pocketsheep"), catalog.load_package(SETTINGS, "libvirt")]
)


def test_a_stand_in_goes_by_its_own_name_and_the_real_one() -> None:
    assert set(WORDS) == {"pocketsheep", "sheepdog", "VDI"}
    assert standin.words([catalog.load_package(SETTINGS, "libvirt")]) == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        "sheepdog enabled",
        "sheepdog's cluster formatted, one copy",
        "VDI papeete created (1 GB)",
        "/usr/bin/collie of pocketsheep-0.1.0-1.rehearsal.noarch",
    ],
)
def test_what_is_about_it_says_so(text: str) -> None:
    assert standin.label(text, WORDS) == f"{text} (stand-in)"
    assert standin.label(standin.label(text, WORDS), WORDS) == f"{text} (stand-in)"
    assert standin.label(text, ()) == text


def test_one_of_a_list_is_marked_by_itself() -> None:
    text = "qemu-kvm, pocketsheep, libvirt by dnf, in one transaction"
    want = "qemu-kvm, pocketsheep (stand-in), libvirt by dnf, in one transaction"
    assert standin.label(text, WORDS) == want
    assert standin.label("pocketsheep by dnf", WORDS) == "pocketsheep (stand-in) by dnf"


@pytest.mark.parametrize(
    "text", ["libvirt-daemon-driver-storage-sheepdog", "backend_sheepdog.so", "papeete started"]
)
def test_what_is_not_about_it_does_not(text: str) -> None:
    assert standin.label(text, WORDS) == text
