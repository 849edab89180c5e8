"""PEP 517 build backend of the test packages.

It lives in the sdist it builds (pyproject.toml: backend-path) and needs only
the standard library, so a build reaches for no index. The wheel holds the tree
below src/ and the metadata of testpkg.json; extension modules are compiled with
the interpreter's own compiler. hook.py beside this file, where there is one,
runs first: that is where a test package misbehaves during its build.
"""

import base64
import csv
import hashlib
import io
import json
import os
import runpy
import shlex
import subprocess
import sysconfig
import tempfile
import zipfile


def _plan():
    with open("testpkg.json", encoding="utf-8") as f:
        return json.load(f)


def _tag(plan):
    if not plan["extensions"]:
        return "py3-none-any"
    abi = "cp" + sysconfig.get_config_var("py_version_nodot")
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return "-".join((abi, abi, platform))


def _dist_info(plan):
    directory = plan["stem"] + ".dist-info/"
    wheel = "Wheel-Version: 1.0\nGenerator: testpkg\nRoot-Is-Purelib: %s\nTag: %s\n" % (
        "false" if plan["extensions"] else "true",
        _tag(plan),
    )
    files = {directory + "METADATA": plan["metadata"], directory + "WHEEL": wheel}
    if plan["entry_points"]:
        files[directory + "entry_points.txt"] = plan["entry_points"]
    return {name: text.encode() for name, text in files.items()}


def _sources():
    for folder, _, names in os.walk("src"):
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                yield os.path.relpath(path, "src"), f.read()


def _compiled(plan):
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    for extension in plan["extensions"]:
        with tempfile.TemporaryDirectory() as scratch:
            out = os.path.join(scratch, "module.so")
            include = "-I" + sysconfig.get_path("include")
            subprocess.run(
                compiler + ["-shared", "-fPIC", include, extension["source"], "-o", out],
                check=True,
            )
            with open(out, "rb") as f:
                yield extension["module"].replace(".", "/") + suffix, f.read()


def _record(files, name):
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for path in sorted(files):
        digest = base64.urlsafe_b64encode(hashlib.sha256(files[path]).digest())
        rows.writerow((path, "sha256=" + digest.rstrip(b"=").decode(), len(files[path])))
    rows.writerow((name, "", ""))
    return text.getvalue().encode()


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    plan = _plan()
    for name, content in _dist_info(plan).items():
        path = os.path.join(metadata_directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            f.write(content)
    return plan["stem"] + ".dist-info"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    hook = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hook.py")
    if os.path.exists(hook):
        runpy.run_path(hook)
    plan = _plan()
    files = dict(_sources())
    files.update(_compiled(plan))
    files.update(_dist_info(plan))
    record = plan["stem"] + ".dist-info/RECORD"
    files[record] = _record(files, record)
    filename = "%s-%s.whl" % (plan["stem"], _tag(plan))
    with zipfile.ZipFile(os.path.join(wheel_directory, filename), "w") as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), files[name])
    return filename
