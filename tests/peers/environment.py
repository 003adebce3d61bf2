"""A Python of its own for packages that a bench compares with. Made once, below target/; half a one is not kept."""

import shutil
import subprocess
import venv

# Seconds; the largest of them takes 40 on two cores.
INSTALLING = 600


class Missing(Exception):
    """The packages could not be installed."""


def python(home, packages):
    """The interpreter of the virtual environment `home`, which has these packages."""
    interpreter = home / "bin/python"
    if (home / "complete").exists():
        return interpreter
    shutil.rmtree(home, ignore_errors=True)
    venv.create(home, with_pip=True)
    command = [interpreter, "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *packages]
    try:
        subprocess.run(command, check=True, timeout=INSTALLING)
    except (subprocess.SubprocessError, OSError) as error:
        raise Missing(f"cannot install {' '.join(packages)}: {error}") from error
    (home / "complete").touch()
    return interpreter
