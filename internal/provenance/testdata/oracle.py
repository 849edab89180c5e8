"""Judges the cases on standard input with the pypi-attestations package.

A case is {"attestation": text, "file": path, "name": file name, "publisher": object}; the
answer is a list of true and false in the same order. Nothing is contacted: the
trusted root is the one that the sigstore package ships.
"""

import json
import logging
import pathlib
import shutil
import sys
import tempfile

from pydantic import TypeAdapter, ValidationError
from pypi_attestations import Attestation, AttestationError, Distribution, Publisher

logging.disable(logging.CRITICAL)


def accepted(case, directory):
    path = pathlib.Path(directory) / case["name"]
    shutil.copyfile(case["file"], path)
    try:
        publisher = TypeAdapter(Publisher).validate_python(case["publisher"])
        attestation = Attestation.model_validate_json(case["attestation"])
        attestation.verify(publisher, Distribution.from_file(path), offline=True)
    except (AttestationError, ValidationError, ValueError):
        return False
    return True


with tempfile.TemporaryDirectory() as directory:
    json.dump([accepted(case, directory) for case in json.load(sys.stdin)], sys.stdout)
