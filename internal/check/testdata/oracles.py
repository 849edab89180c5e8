"""Reads an evidence directory with third-party libraries and says what they accept."""
import json
import pathlib
import sys

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey

directory = pathlib.Path(sys.argv[1])
key = load_pem_public_key((directory / "functionary.pub").read_bytes())


def accept(path, name):
    """Verifies an envelope and returns its statement."""
    data = json.loads(path.read_text())
    public = SSlibKey.from_crypto(key, keyid=data["signatures"][0]["keyid"])
    envelope = Envelope.from_dict(data)
    envelope.verify([public], 1)
    print("accepted dsse", name)
    message = json_format.Parse(envelope.payload, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    print("accepted statement", name)
    return json.loads(envelope.payload)


predicates = {}
for step in ("pip-install", "pip-import"):
    for attestation in accept(directory / f"{step}.json", step)["predicate"]["attestations"]:
        predicates[attestation["type"]] = attestation["attestation"]

# A field that the schema does not have, or of another type, is a ParseError.
signed = accept(directory / "provenance.json", "provenance")
if signed["predicate"] != predicates["https://slsa.dev/provenance/v1"]:
    sys.exit("the signed provenance is not that of the collection")
json_format.ParseDict(signed["predicate"], provenance_pb2.Provenance())
print("accepted provenance")

# The library's own type of the verification summary is not that of the
# specification, so only its statement is read.
for summary in sorted((directory / "vsa").glob("*.json")):
    if not summary.name.endswith(".sigstore.json"):
        accept(summary, "summary")

problems = JsonStrictValidator(SchemaVersion.V1_6).validate_str((directory / "sbom.cdx.json").read_text())
if problems is not None:
    sys.exit(f"cyclonedx: {problems}")
print("accepted cyclonedx 1.6")
