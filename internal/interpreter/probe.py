# Asked of the user's own interpreter before anything untrusted runs: which
# Python and pip these are, where they live, and what pip's configuration comes
# to. Prints one line of JSON behind a marker. The syntax stays readable for
# Python 2, so that an old interpreter can say that it is old.
import sys

# With -c the first entry is the current directory: a module there must not
# stand in for one of the standard library.
sys.path[:] = [p for p in sys.path if p]


def emit(answer):
    import json

    sys.stdout.write("\npip-witness-probe:" + json.dumps(answer) + "\n")
    sys.stdout.flush()


def python_version():
    return ".".join(str(n) for n in sys.version_info[:3])


def full_version(info):
    version = ".".join(str(n) for n in info[:3])
    if info[3] != "final":
        version += info[3][0] + str(info[4])
    return version


def marker_environment():
    import os
    import platform

    implementation = sys.implementation
    return {
        "implementation_name": implementation.name,
        "implementation_version": full_version(implementation.version),
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "platform_python_implementation": platform.python_implementation(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
    }


def importable(name):
    import importlib.util

    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def home_directory():
    import os

    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_dir
    except (ImportError, KeyError):
        return ""


def link_hops(path):
    """Every path on the way from path to the file that it finally names."""
    import os

    hops = []
    while os.path.islink(path) and len(hops) < 40:
        hops.append(path)
        path = os.path.join(os.path.dirname(path), os.readlink(path))
    hops.append(path)
    return hops


def needed_paths():
    """Paths that must be readable for this interpreter to run."""
    import os
    import sysconfig

    base = getattr(sys, "_base_executable", None) or sys.executable
    paths = [sys.base_prefix, sys.base_exec_prefix, sys.prefix, sys.exec_prefix]
    paths += [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
    paths += [os.path.dirname(os.path.realpath(p)) for p in (sys.executable, base)]
    paths += link_hops(sys.executable) + link_hops(base)
    paths += [sysconfig.get_config_var(name) for name in ("LIBDIR", "WHEEL_PKG_DIR")]
    return [p for p in paths if p]


def certificate_paths():
    try:
        import ssl
    except ImportError:
        return None
    found = ssl.get_default_verify_paths()
    return [p for p in (found.cafile, found.capath, found.openssl_cafile, found.openssl_capath) if p]


def site_templates():
    """Site directories of a virtual environment, relative to its prefix."""
    import os
    import sysconfig

    scheme = "venv" if "venv" in sysconfig.get_scheme_names() else "posix_prefix"
    root = os.sep + "@"
    variables = dict((name, root) for name in ("base", "platbase", "installed_base", "installed_platbase"))
    found = []
    for name in ("purelib", "platlib"):
        path = os.path.relpath(sysconfig.get_path(name, scheme, variables), root)
        if path not in found:
            found.append(path)
    return found


def pip_facts():
    import os

    try:
        import pip
    except ImportError as error:
        return {"missing": str(error)}
    package = os.path.dirname(os.path.abspath(pip.__file__))
    site = os.path.dirname(package)
    paths = [package]
    for name in sorted(os.listdir(site)) if os.path.isdir(site) else []:
        if name.startswith("pip-") and name.endswith((".dist-info", ".egg-info")):
            paths.append(os.path.join(site, name))
    bundle = ""
    try:
        from pip._vendor import certifi

        bundle = certifi.where()
    except Exception:
        pass  # a distribution may have taken it out: then there is no bundle
    return {"version": pip.__version__, "package": package, "paths": paths, "bundle": bundle}


def format_control(values):
    control = getattr(values, "format_control", None)
    return sorted(getattr(control, "no_binary", [])), sorted(getattr(control, "only_binary", []))


def configured_names(config):
    """section.option names that the user's configuration sets."""
    names = set()
    for key, value in config.items():
        names.update(value if isinstance(value, dict) else [key])
    return sorted(name for name in names if isinstance(name, str))


def configuration():
    """What pip's own option parser makes of its files and variables."""
    from pip._internal.commands import create_command

    parser = create_command("install").parser
    default_index = parser.defaults.get("index_url")
    values, _ = parser.parse_args([])

    def get(name, empty):
        value = getattr(values, name, None)
        return empty if value is None else value

    no_binary, only_binary = format_control(values)
    settings = get("config_settings", {})
    return {
        "defaultIndex": default_index or "",
        "indexURL": get("index_url", ""),
        "extraIndexURLs": list(get("extra_index_urls", [])),
        "findLinks": list(get("find_links", [])),
        "noIndex": bool(get("no_index", False)),
        "trustedHosts": list(get("trusted_hosts", [])),
        "cert": get("cert", ""),
        "clientCert": get("client_cert", ""),
        "proxy": get("proxy", ""),
        "timeout": float(get("timeout", 0)),
        "retries": int(get("retries", 0)),
        "keyringProvider": get("keyring_provider", ""),
        "constraints": list(get("constraints", [])),
        "buildConstraints": list(get("build_constraints", [])),
        "requirements": list(get("requirements", [])),
        "requireHashes": bool(get("require_hashes", False)),
        "noBinary": no_binary,
        "onlyBinary": only_binary,
        "pre": bool(get("pre", False)),
        "preferBinary": bool(get("prefer_binary", False)),
        "noDeps": bool(get("ignore_dependencies", False)),
        "noBuildIsolation": not get("build_isolation", True),
        "usePEP517": getattr(values, "use_pep517", None),
        "ignoreRequiresPython": bool(get("ignore_requires_python", False)),
        "useFeatures": list(get("features_enabled", [])),
        "configSettings": [
            "%s=%s" % (key, one)
            for key in sorted(settings)
            for one in (settings[key] if isinstance(settings[key], list) else [settings[key]])
        ],
        "set": configured_names(parser.config),
    }


def quietly(function):
    """The answer of function, or the text with which pip gave up."""
    import io

    said, streams = io.StringIO(), (sys.stdout, sys.stderr)
    sys.stdout = sys.stderr = said
    try:
        return {"values": function()}
    except SystemExit:
        return {"refused": said.getvalue().strip()[-2000:]}
    except Exception as error:
        return {"failed": "%s: %s" % (type(error).__name__, error)}
    finally:
        sys.stdout, sys.stderr = streams


def configuration_files():
    import os

    try:
        from pip._internal.configuration import get_configuration_files

        kinds = get_configuration_files()
        files = [name for kind in sorted(kinds) for name in kinds[kind]]
    except Exception:
        files = []  # moved within pip: the caller hides what it knows itself
    files.append(os.environ.get("PIP_CONFIG_FILE", ""))
    return [os.path.abspath(name) for name in files if name and os.path.isfile(name)]


def main():
    import os
    import sysconfig

    environment = sys.prefix != sys.base_prefix
    answer = {
        "executable": os.path.abspath(sys.executable) if environment else os.path.realpath(sys.executable),
        "real": os.path.realpath(sys.executable),
        "prefix": sys.base_prefix,
        "environment": sys.prefix if environment else "",
        "version": python_version(),
        "implementation": sys.implementation.name,
        "platform": sysconfig.get_platform(),
        "markers": marker_environment(),
        "venv": importable("venv"),
        "ensurepip": importable("ensurepip"),
        "home": home_directory(),
        "paths": needed_paths(),
        "certificates": certificate_paths(),
        "sites": site_templates(),
        "pip": pip_facts(),
    }
    if "version" in answer["pip"]:
        answer["files"] = configuration_files()
        answer["config"] = quietly(configuration)
    emit(answer)


if sys.version_info < (3, 8):
    emit({"version": python_version(), "executable": sys.executable})
else:
    main()
