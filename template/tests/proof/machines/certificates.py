"""Certificates for servers of the tests, by the `openssl` that comes with PostgreSQL and nginx."""

import os
import subprocess
from pathlib import Path


def certify(folder: Path) -> tuple[Path, Path]:
    """Return the files of a certificate for `localhost`, its own maker, and of its key.

    They belong to whoever owns the folder.
    """
    certificate, key = folder / "server.crt", folder / "server.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    names = ["-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *names, *files], check=True, capture_output=True)
    for file in (key, certificate):
        os.chown(file, folder.stat().st_uid, -1)
    return certificate, key
