"""What each release of rpm and yum knows: the tables that ``old_tools.py`` holds RPMs against.

Sources: lib/rpmds.c, lib/signature.c and lib/header.c of rpm, in the versions named; yum/yumRepo.py
and yum/misc.py of yum 3.2.29. "Seen with rpm 4.8.1": that release, built from its tag (with NSS
3.61), was given an RPM that differed in this one thing, for ``-qp``, ``-K`` and ``-U --root``. What
does not say so was read, not run.
"""

from __future__ import annotations

# Since which rpm. Its own numbers in rpmlib(…) say little: PayloadIsXz is 5.2 in rpm 4.8.
# Seen with rpm 4.8.1: `--showrc` lists all up to 4.8 and no other; of the later ones, -U refuses
# TildeInVersions (of its own version and of a dependency's), LargeFiles, RichDependencies,
# PayloadIsZstd, CaretInVersions, and a name that nobody knows: "is needed by".
FEATURES = {
    "VersionedDependencies": "3.0.3",
    "CompressedFileNames": "3.0.4",
    "PayloadIsBzip2": "3.0.5",
    "PayloadFilesHavePrefix": "4.0",
    "ExplicitPackageProvide": "4.0",
    "HeaderLoadSortsTags": "4.0.1",
    "ScriptletInterpreterArgs": "4.0.3",
    "PartialHardlinkSets": "4.0.4",
    "ConcurrentAccess": "4.1",
    "BuiltinLuaScripts": "4.2.2",
    "FileDigests": "4.6",
    "PayloadIsLzma": "4.6",
    "FileCaps": "4.7",
    "PayloadIsXz": "4.8",
    "ScriptletExpansion": "4.9",
    "TildeInVersions": "4.10",
    "LargeFiles": "4.12",
    "RichDependencies": "4.13",
    "PayloadIsZstd": "4.14",
    "CaretInVersions": "4.15",
    "DynamicBuildRequires": "4.15",
}
# Seen with rpm 4.8.1: it unpacks each of these up to xz, at any level and with xz's threads (level
# 9 has a dictionary of 64 MiB; from 100 MiB on, "read failed"), and what is not compressed, whether
# the header says nothing, "none" or "ufdio". zstd and unknown words: "Bad magic", --nodeps or not.
COMPRESSORS = {
    "gzip": "3.0", "bzip2": "3.0.5", "lzma": "4.6", "xz": "4.8", "zstd": "4.14", "none": "3.0",
}  # fmt: skip
# Seen with rpm 4.8.1: a stripped archive is "Bad magic", with and without its rpmlib feature.
STRIPPED_ARCHIVE = "4.12"
# Seen with rpm 4.8.1: a rich dependency is a name that nothing provides. Weak ones are no obstacle:
# the RPM is installed and they are ignored, in silence; so what they were to bring is not there.
WEAK_DEPENDENCIES, RICH_DEPENDENCIES = "4.12", "4.13"
# Seen with rpm 4.8.1: as silent; it runs none of them, and no rpmlib feature says that they matter.
FILE_TRIGGERS = "4.13"
# Of files. Seen with rpm 4.8.1: these; sha224 and unknown numbers are "Digest mismatch" at the
# first file, when the transaction is on its way.
DIGESTS = {"md5": "3.0", "sha1": "4.6", "sha256": "4.6", "sha384": "4.6", "sha512": "4.6"}
# Of signatures. Seen with rpm 4.8.1: these, of RSA v3 and v4 alike; RIPEMD160, SHA224 and SHA3 are
# "BAD", and -U refuses the RPM. So is MD5, which rpm knows by name: it may be NSS that forbids it,
# and an NSS of 2010 may not have (unverified). Nobody should sign with it.
SIGNED_DIGESTS = {word: since for word, since in DIGESTS.items() if word != "md5"}
# Seen with rpm 4.8.1: RSA of 1024 to 8192 bits. ECDSA and EdDSA: -K says NOT OK, -U warns (NOKEY)
# and installs; yum with gpgcheck does not (read).
SIGNERS = {"RSA": "3.0", "DSA": "3.0"}
# Seen with rpm 4.8.1: a DSA key of 1024 bits; of 2048 and 3072 it refuses the whole RPM, unread:
# "skipping package with unverifiable V4 signature". Their numbers have 224 or 256 bits. rpm 4.14
# reads them where it is built with OpenSSL (read); with NSS no rpm does.
DSA_BITS, DSA_BITS_ROSE = 160, "4.14"
# Seen with rpm 4.8.1: v3, v4; 2, 5 and 6 are "unverifiable V0 signature". Packets of the old format
# and of the new one.
SIGNATURE_VERSIONS = {"v3": "3.0", "v4": "3.0"}
# The tag for signatures of any kind. Seen with rpm 4.8.1: it ignores the tag, so that a signature
# in it does no harm where there is one that it knows, and an RPM with no other is unsigned for it.
OPENPGP_TAG = "6.0"
# Since which yum it reads such metadata (xz where Python has lzma: unverified for el6). By kind,
# what it reads as well: it decompresses databases, groups and advisories by the end of their name.
METADATA = {"gz": "3.2", "xz": "3.4"}
METADATA_BY_KIND = {
    "primary": set[str](), "filelists": set[str](), "other": set[str](),
    "primary_db": {"bz2"}, "filelists_db": {"bz2"}, "other_db": {"bz2"}, "pkgtags": {"bz2"},
    "group": {"bz2", "none"}, "group_gz": {"bz2"}, "updateinfo": {"bz2", "none"},
    "prestodelta": set[str](),
}  # fmt: skip
PRIMARY = {"primary", "primary_db"}  # without one of them yum sees no package at all
# Bytes of data in the header and in the signature's header; the latter's limit rose in rpm 4.14.
# Seen with rpm 4.8.1: 8192 and 8193 as said. A header of 16 MiB is "out of range"; one that is a
# little smaller is unpacked, grows by its signature, a byte a file and some numbers, and rpm dies
# (SIGSEGV) before it is in the database. 65,535 tags or 32 of a signature are the most: no rule,
# since rpmbuild makes no such thing.
HEADER_BYTES, SIGNATURE_BYTES, SIGNATURE_BYTES_ROSE = 16 << 20, 8192, "4.14"
INSTALLED_NUMBERS = 16  # its time, its color, its transaction, and what they are aligned by
