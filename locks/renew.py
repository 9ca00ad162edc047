"""Write the locks anew from pyproject.toml: every version with its hashes, and no addresses.

They hold for Python 3.11 and newer and for every platform, in the format that any pip can check:
``pip install --require-hashes -r locks/demo.txt``.
"""

import subprocess
import sys
from pathlib import Path

LOCKS = Path(__file__).resolve().parent
ROOT = LOCKS.parent
UV = [str(Path(sys.executable).parent / "uv"), "pip", "compile"]
OPTIONS = ["--quiet", "--generate-hashes", "--no-header", "--no-annotate"]
OPTIONS += ["--universal", "--python-version=3.11", "--no-emit-package=torch"]
# One version of each package for all Pythons: the one that the tests have seen.
OPTIONS += ["--fork-strategy", "fewest"]


def renew(name: str, about: str, *options: str, requirement: str = "") -> None:
    """Write `name`, of pyproject.toml and the groups in `options`, or of one `requirement`."""
    sys.stderr.write(f"locks/{name}: {about}\n")
    source = "-" if requirement else "pyproject.toml"
    command = [*UV, *OPTIONS, source, *options]
    done = subprocess.run(
        command, cwd=ROOT, input=requirement, stdout=subprocess.PIPE, text=True, check=True
    )
    (LOCKS / name).write_text(f"# Made by `make lock`: {about}.\n{done.stdout}")


def main() -> None:
    """Renew all four, the demo's as a part of the tests'."""
    test = "--group=test", "--group=check"
    renew("pip.txt", "the pip that installs the others", requirement="pip")
    renew("test.txt", "what tests and checks need beside PyTorch", *test)
    renew("demo.txt", "what the demo needs", "--group=demo", "--constraints=locks/test.txt")
    oldest = "--group=test", "--resolution=lowest-direct"
    renew("oldest.txt", "the lower bounds of pyproject.toml, under the tests", *oldest)


if __name__ == "__main__":
    main()
