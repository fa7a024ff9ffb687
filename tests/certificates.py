"""Certificates for servers of the tests, of an authority that nobody trusts unless told."""

import datetime as dt
import ipaddress
import secrets
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Authority:
    """Signs certificates; `file` is its own."""

    def __init__(self, folder):
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"authority {secrets.token_hex(4)}")])
        own = self._builder(self._name, self._key.public_key(), 0)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.file = folder / "authority.pem"
        self.file.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def context(self, *names, days_old=0):
        """A server's TLS context with a certificate for names or addresses, valid for a day from so many days ago."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a server")])
        alternatives = x509.SubjectAlternativeName([_general(name) for name in names or ("127.0.0.1", "localhost")])
        signed = self._builder(subject, key.public_key(), days_old).add_extension(alternatives, critical=False)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        public = signed.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        both = self._folder / "both.pem"
        both.write_bytes(private + public)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(both)
        return context

    def _builder(self, subject, key, days_old):
        begin = dt.datetime.now(dt.UTC) - dt.timedelta(days=days_old)
        return x509.CertificateBuilder(
            self._name, subject, key, x509.random_serial_number(), begin - dt.timedelta(1), begin + dt.timedelta(1)
        )


def _general(name):
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
