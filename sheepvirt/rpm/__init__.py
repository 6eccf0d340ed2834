"""RPM files and repos: headers, payloads, signatures, compatibility with old tools."""
