"""A certificate authority of a test's own, made with openssl."""

import ssl
import subprocess
from pathlib import Path

CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


class Authority:
    """Lies in a directory; `ca` is its certificate."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.ca = place / "ca.crt"
        self._run(
            "req", "-x509", *CURVE, "-days", "2", "-subj", "/CN=test authority", "-keyout", "ca.key", "-out", "ca.crt"
        )

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], cwd=self.place, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def issue(self, name: str, *hosts: str) -> tuple[Path, Path]:
        """A certificate for DNS names and addresses (none: a client's), and its key."""
        subjects = [f"IP:{host}" if host[:1].isdigit() else f"DNS:{host}" for host in hosts]
        extensions = self.place / f"{name}.ext"
        extensions.write_text(f"subjectAltName={','.join(subjects)}\n" if subjects else "extendedKeyUsage=clientAuth\n")
        self._run("req", "-new", *CURVE, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self._run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days",
                  "2", "-extfile", f"{name}.ext", "-out", f"{name}.crt")  # fmt: skip
        return self.place / f"{name}.crt", self.place / f"{name}.key"

    def server(self, *hosts: str, clients: bool = False) -> ssl.SSLContext:
        """For a server with these names; `clients` must show a certificate of this authority too."""
        certificate, key = self.issue("server-" + hosts[0].replace(":", "-"), *hosts)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        if clients:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def trusted_for(self, directory: Path, *hosts: str) -> Path:
        """Make a directory like /etc/docker/certs.d that trusts the authority for hosts (`name:port`)."""
        for host in hosts:
            (directory / host).mkdir(parents=True)
            (directory / host / "ca.crt").write_bytes(self.ca.read_bytes())
        return directory
