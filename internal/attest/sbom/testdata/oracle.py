"""Reads documents with third-party libraries, and computes with them what the
documents should say of a site directory. Nothing of the packages runs.

usage: oracle.py REQUEST, JSON with site, cyclonedx-1.6, cyclonedx-1.7, spdx-2.3
(paths), environment and extras.
"""
import importlib.metadata
import json
import logging
import pathlib
import subprocess
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from spdx_tools.spdx.parser.parse_anything import parse_file
from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

request = json.load(sys.stdin)
answer = {"problems": [], "edges": {}, "components": []}

for name, version in (("cyclonedx-1.6", SchemaVersion.V1_6), ("cyclonedx-1.7", SchemaVersion.V1_7)):
    problem = JsonStrictValidator(version).validate_str(pathlib.Path(request[name]).read_text())
    if problem is not None:
        answer["problems"].append(f"{name}: {problem}")
logging.disable(logging.CRITICAL)
try:
    spdx = parse_file(request["spdx-2.3"])
    answer["problems"] += [f"spdx-2.3: {m.validation_message}: {str(m.context)[:300]}" for m in validate_full_spdx_document(spdx)]
    answer["packages"] = len(spdx.packages)
except Exception as e:
    answer["problems"].append(f"spdx-2.3: {getattr(e, 'messages', e)}")

# Who depends on whom, until no new extra is asked for.
requires = {}
for d in importlib.metadata.distributions(path=[request["site"]]):
    requires[canonicalize_name(d.metadata["Name"])] = [Requirement(r) for r in d.requires or []]
extras = {canonicalize_name(k): {canonicalize_name(e) for e in v} for k, v in request["extras"].items()}
edges = {name: set() for name in requires}
changed = True
while changed:
    changed = False
    for name, reqs in requires.items():
        for r in reqs:
            asked = [""] + sorted(extras.get(name, ()))
            if r.marker and not any(r.marker.evaluate({**request["environment"], "extra": e}) for e in asked):
                continue
            to = canonicalize_name(r.name)
            new = {canonicalize_name(e) for e in r.extras} - extras.setdefault(to, set())
            if new:
                extras[to] |= new
                changed = True
            if to in requires and to != name:
                edges[name].add(to)
answer["edges"] = {name: sorted(to) for name, to in edges.items()}

# An "interpreter" that answers the one question that cyclonedx-py has for it.
fake = pathlib.Path(request["cyclonedx-1.6"]).with_name("python")
fake.write_text("#!/bin/sh\ncat <<'PATH'\n" + json.dumps(["", request["site"]]) + "\nPATH\n")
fake.chmod(0o755)
out = subprocess.run([sys.executable, "-m", "cyclonedx_py", "environment", str(fake)], check=True, capture_output=True).stdout
answer["components"] = sorted(c["purl"] for c in json.loads(out)["components"])
json.dump(answer, sys.stdout)
