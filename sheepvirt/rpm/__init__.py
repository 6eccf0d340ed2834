"""RPM files and repos: headers, payloads, signatures, and what old tools can read."""
