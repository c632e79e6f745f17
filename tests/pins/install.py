"""Make a virtual environment with exactly the pinned packages and this one: ``install.py ENVIRONMENT PINS``.

Run by the Makefile with whatever Python the machine has, so nothing but the standard library is used, and an
interpreter that is too old must still be able to read this file and say so. A stamp in the environment names
what it was made from: as long as that is the same, a further run does nothing. A folder without that stamp is
somebody else's and left alone.

``install.py --check PINS`` only tells whether this Python will do: exit code 0, or 1 and why not.
"""

# ruff: noqa: UP031
import hashlib
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
REPOSITORY = os.path.dirname(os.path.dirname(HERE))
# The Pythons that the pinned Airflow is tested on: from, below. Airflow's own metadata may allow others.
PYTHONS = {
    "airflow-3.3": ((3, 11), (3, 15)),
    "airflow-3.2": ((3, 11), (3, 15)),
    "airflow-3.1": ((3, 11), (3, 14)),
    "airflow-3.0": ((3, 11), (3, 13)),
    "airflow-2.11": ((3, 10), (3, 13)),
    "lowest": ((3, 11), (3, 13)),
    "celery": ((3, 11), (3, 15)),
    "celery-2.11": ((3, 10), (3, 13)),
    "benchmark": ((3, 11), (3, 15)),
    "docs": ((3, 11), (3, 15)),
    "release": ((3, 11), (3, 15)),
}
# What would make pip install somewhere else or uncompiled, or Python see packages that are not pinned.
LEAKING = (
    "PYTHONHOME",
    "PYTHONPATH",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
    "PIP_REQUIRE_VIRTUALENV",
    "UV_TARGET",
    "PYTHONDONTWRITEBYTECODE",
)


def main():
    check_python(pythons(sys.argv[2]))
    if sys.argv[1] == "--check":
        return
    environment, pins = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    wanted = fingerprint(pins)
    stamp = os.path.join(environment, "made-from")
    if read(stamp) == wanted and works(environment):
        return
    check_owner(environment)
    check_venv()
    name, airflow = os.path.basename(environment), os.path.basename(pins)[: -len(".txt")]
    print("Installing %s into %s; this happens once and takes about a minute." % (airflow, name), flush=True)
    make_empty(environment)
    variables = {key: value for key, value in os.environ.items() if key not in LEAKING}
    variables["UV_PYTHON_DOWNLOADS"] = "never"
    variables["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    call([sys.executable, "-m", "venv", environment], variables)
    install(environment, pins, variables)
    with open(stamp, "w") as file:
        file.write(wanted)


def check_owner(environment):
    if os.path.lexists(environment) and not os.path.isfile(os.path.join(environment, "made-from")):
        stop(
            "%s exists already and was not made by this Makefile, so it is left alone.\n"
            "Move it away or delete it, and try again." % environment
        )


def make_empty(environment):
    os.makedirs(environment, exist_ok=True)
    # The stamp comes first and stays, so that what is left of an interruption is known for what it is.
    with open(os.path.join(environment, "made-from"), "w"):
        pass
    for name in os.listdir(environment):
        path = os.path.join(environment, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        elif name != "made-from":
            os.remove(path)


def pythons(pins):
    """Which Pythons a file of pins is for; both files of an Airflow are for the same."""
    name = os.path.basename(pins)[: -len(".txt")]
    released = "-released"
    return PYTHONS[name[: -len(released)] if name.endswith(released) else name]


def check_python(allowed):
    lowest, limit = allowed
    if not lowest <= sys.version_info[:2] < limit:
        stop(
            "%s is Python %d.%d; Python %d.%d to %d.%d is needed here. Where one is installed, name it:\n"
            "    PYTHON=python3.12 make ..."
            % (sys.executable, *sys.version_info[:2], *lowest, limit[0], limit[1] - 1)
        )


def check_venv():
    try:
        import ensurepip
        import venv  # noqa: F401

        # Debian's own stand-in for a missing `ensurepip` can be imported, but brings no pip.
        ensurepip.version()
    except Exception:
        stop(
            "%s has no `venv` module, which makes virtual environments. On Debian and Ubuntu:\n"
            "    apt-get install python3-venv      (or python3.%d-venv for this interpreter)"
            % (sys.executable, sys.version_info[1])
        )


def install(environment, pins, variables):
    python = os.path.join(environment, "bin", "python")
    build = ["--no-deps", "--no-build-isolation", "--editable", REPOSITORY]
    pip = [python, "-m", "pip", "install", "--quiet"]
    uv = [python, "-m", "uv", "pip", "install", "--python", python, "--compile-bytecode"]
    if not sys.stderr.isatty():
        uv.append("--quiet")
    if try_call([*pip, "--requirement", os.path.join(HERE, "uv.txt")], variables) and try_call(
        [*uv, "--requirement", pins], variables
    ):
        call(uv + build, variables)
    else:
        # There may be no uv for this machine, or a package index that only pip's configuration knows.
        print("Installing with pip instead, which takes a few minutes.", flush=True)
        call([*pip, "--requirement", pins], variables)
        call(pip + build, variables)
    # pip leaves it to the first import, which is not allowed to where PYTHONDONTWRITEBYTECODE is set: every
    # process of Airflow would then compile all of it anew. What is compiled already is left as it is.
    try_call([python, "-m", "compileall", "-q", "-q", "-j", "0", os.path.join(environment, "lib")], variables)


def fingerprint(pins):
    made_from = hashlib.sha256(sys.version.encode())
    for path in (pins, os.path.join(REPOSITORY, "pyproject.toml"), os.path.abspath(__file__)):
        with open(path, "rb") as file:
            made_from.update(file.read())
    return made_from.hexdigest()


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def works(environment):
    python = os.path.join(environment, "bin", "python")
    try:
        return subprocess.call([python, "-c", "import airflow_provider_runway"], cwd=environment) == 0
    except OSError:
        return False


def try_call(command, variables):
    return subprocess.call(command, env=variables) == 0


def call(command, variables):
    code = subprocess.call(command, env=variables)
    if code:
        stop("`%s` ended with exit code %d." % (" ".join(command), code))


def stop(message):
    sys.stderr.write("\n%s\n\n" % message)
    sys.exit(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        stop("Interrupted; the next run begins the installation again.")
