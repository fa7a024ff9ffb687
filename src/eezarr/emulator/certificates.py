"""Certificates for an emulator that speaks HTTPS: an authority of its own, made anew at each start.

Only whoever names the authority's certificate as trusted (`SSL_CERT_FILE`) is affected; its private key is never
written, and dies with the process.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFE = dt.timedelta(days=30)
_LOCAL = ("localhost", "127.0.0.1", "::1")
_WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - addresses to listen at, which no certificate can name


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """What a server with HTTPS needs, and what its clients do."""

    context: ssl.SSLContext
    """The server's TLS."""
    authority: bytes
    """The authority's certificate (PEM), which clients have to trust."""


def certify(host: str, *, now: dt.datetime | None = None, life: dt.timedelta = _LIFE) -> Certificates:
    """Make an authority and a certificate for this machine's names and a host.

    Args:
        host: A name or an address, beside `localhost` and the loopback addresses.
        now: From a day before this time on the certificates are valid; default: now.
        life: Until this long after it.
    """
    now = now or dt.datetime.now(dt.UTC)
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _name("eezarr emulator's authority")
    issuer = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    own = (
        _builder(authority, authority_key, authority, now, life)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(is_authority=True), critical=True)
        .add_extension(issuer, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    signed = (
        _builder(_name("eezarr emulator"), key, authority, now, life)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general(name) for name in _names(host)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(issuer), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    return Certificates(context=_context(key, signed), authority=own.public_bytes(serialization.Encoding.PEM))


def _context(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> ssl.SSLContext:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    with tempfile.TemporaryDirectory(prefix="eezarr-tls-") as folder:  # OpenSSL takes files only
        both = Path(folder, "both.pem")
        both.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
        context.load_cert_chain(both)
    return context


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, issuer: x509.Name, now: dt.datetime, life: dt.timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + life)
    )


def _usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _names(host: str) -> tuple[str, ...]:
    return _LOCAL if host in _LOCAL or host in _WILDCARDS else (*_LOCAL, host)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
