"""Tables of what each release of rpm and yum supports; ``compat_rules.py`` applies them to RPMs.

Sources: lib/rpmds.c, lib/signature.c and lib/header.c of rpm, in the versions named; yum/yumRepo.py
and yum/misc.py of yum 3.2.29. "Seen with rpm 4.8.1" means: that release, built from its tag (with
NSS 3.61), was run with ``-qp``, ``-K`` and ``-U --root`` on an RPM that differed only in this.
Everything else was read, not run.
"""

from __future__ import annotations

# The first rpm with each feature. The numbers in rpmlib(…) say little: PayloadIsXz is 5.2 in rpm
# 4.8. Seen with rpm 4.8.1: `--showrc` lists exactly those up to 4.8. Of the later ones, -U refuses
# TildeInVersions (in the RPM's version and in a dependency's), LargeFiles, RichDependencies,
# PayloadIsZstd, CaretInVersions, and an unknown name: "is needed by".
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
# 9 has a dictionary of 64 MiB; from 100 MiB on, "read failed"), and uncompressed payloads, with
# nothing, "none" or "ufdio" in the header. zstd and unknown words: "Bad magic", also with --nodeps.
COMPRESSORS = {
    "gzip": "3.0", "bzip2": "3.0.5", "lzma": "4.6", "xz": "4.8", "zstd": "4.14", "none": "3.0",
}  # fmt: skip  # a table
# Seen with rpm 4.8.1: a stripped archive is "Bad magic", with and without its rpmlib feature.
STRIPPED_ARCHIVE = "4.12"
# Seen with rpm 4.8.1: a rich dependency is a name that nothing provides. Weak dependencies do not
# prevent the installation; they are silently ignored, so their packages are missing.
WEAK_DEPENDENCIES, RICH_DEPENDENCIES = "4.12", "4.13"
# Seen with rpm 4.8.1: it silently runs none of them, and no rpmlib feature requires them.
FILE_TRIGGERS = "4.13"
# Digests of files. Seen with rpm 4.8.1: these; sha224 and unknown numbers are "Digest mismatch" at
# the first file, during the transaction.
DIGESTS = {"md5": "3.0", "sha1": "4.6", "sha256": "4.6", "sha384": "4.6", "sha512": "4.6"}
# Digests of signatures. Seen with rpm 4.8.1: these, with RSA v3 and v4; RIPEMD160, SHA224 and SHA3
# are "BAD", and -U refuses the RPM. MD5 is refused, too, although rpm knows it: perhaps NSS forbids
# it, and an NSS of 2010 may not (unverified). It should not be used for signatures.
SIGNED_DIGESTS = {word: since for word, since in DIGESTS.items() if word != "md5"}
# Seen with rpm 4.8.1: RSA of 1024 to 8192 bits. ECDSA and EdDSA: -K says NOT OK, -U warns (NOKEY)
# and installs; yum with gpgcheck does not (read).
SIGNERS = {"RSA": "3.0", "DSA": "3.0"}
# Seen with rpm 4.8.1: it reads a DSA key of 1024 bits. With 2048 and 3072 bits it refuses the whole
# RPM: "skipping package with unverifiable V4 signature". Their numbers have 224 or 256 bits. rpm
# 4.14 reads them if it is built with OpenSSL (read); with NSS no rpm does.
DSA_BITS, DSA_BITS_ROSE = 160, "4.14"
# Seen with rpm 4.8.1: v3, v4; 2, 5 and 6 are "unverifiable V0 signature". Packets of the old format
# and of the new one.
SIGNATURE_VERSIONS = {"v3": "3.0", "v4": "3.0"}
# The tag for signatures of any kind. Seen with rpm 4.8.1: it ignores the tag. A signature in it
# does no harm next to one in a known tag; an RPM with no other signature counts as unsigned.
OPENPGP_TAG = "6.0"
# The first yum that reads such metadata (xz if Python has lzma: unverified for el6). By kind, what
# it reads as well: it decompresses databases, groups and advisories by the end of their name.
METADATA = {"gz": "3.2", "xz": "3.4"}
METADATA_BY_KIND = {
    "primary": set[str](), "filelists": set[str](), "other": set[str](),
    "primary_db": {"bz2"}, "filelists_db": {"bz2"}, "other_db": {"bz2"}, "pkgtags": {"bz2"},
    "group": {"bz2", "none"}, "group_gz": {"bz2"}, "updateinfo": {"bz2", "none"},
    "prestodelta": set[str](),
}  # fmt: skip  # a table
PRIMARY = {"primary", "primary_db"}  # without one of them yum sees no package
# Bytes of data in the header and in the signature's header; the latter's limit rose in rpm 4.14.
# Seen with rpm 4.8.1: 8192 and 8193 behave like that. A header of 16 MiB is "out of range". One
# that is slightly smaller is unpacked and grows by its signature, one byte for each file and some
# numbers; then rpm dies (SIGSEGV) before it is in the database. The limits of 65,535 tags and of 32
# tags in a signature need no rule: rpmbuild does not exceed them.
HEADER_BYTES, SIGNATURE_BYTES, SIGNATURE_BYTES_ROSE = 16 << 20, 8192, "4.14"
INSTALLED_NUMBERS = 16  # bytes of its time, color and transaction, with their alignment
