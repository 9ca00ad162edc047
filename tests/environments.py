"""Sweeps in hostile environments: each in a driver of its own, which says how it went.

`run` builds an environment and runs this file in it as a script.
"""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from driving import worker_processes

ROOT = Path(__file__).parents[1]
TRIALS = 12
SECONDS = 90  # after which a driver counts as one that hangs


@dataclass(frozen=True)
class Environment:
    """What is wrong, and what must be said of it.

    ``around`` is the command that builds it around the driver, ``before`` and ``meanwhile`` run in
    the driver, before its sweep starts and as soon as two trials have ended. ``says`` are the
    words that must be in the sentence about the sweep's end.
    """

    says: str = f"{TRIALS} of {TRIALS} trials"
    around: tuple[str, ...] = ()
    before: Callable[[Path], object] = lambda _: None
    meanwhile: Callable[[Path], object] = lambda _: None


def mounting(command):
    """Return what runs a driver behind a mount of its own; ``{}`` is its folder."""
    namespace = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "-Ur", "--mount"]
    return (*namespace, "sh", "-c", f'{command} && exec "$@"', "sh")


def _without_root(limit):
    """Return what runs a driver as a user whose processes are counted, as those of root are not."""
    if os.getuid():
        mine = [path for path in Path("/proc").glob("[0-9]*") if path.stat().st_uid == os.getuid()]
        threads = sum(len(list((path / "task").iterdir())) for path in mine)
        return ("prlimit", f"--nproc={threads + limit}")
    caps = "+dac_override,+dac_read_search,+chown,+fowner"  # the tests' files are root's
    user = ("setpriv", "--reuid=61234", "--regid=61234", "--clear-groups")
    return (*user, f"--inh-caps={caps}", f"--ambient-caps={caps}", "prlimit", f"--nproc={limit}")


_eaten: list[int] = []


def _eat(left):
    """Use up all descriptors but so many."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
    try:
        while True:
            _eaten.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        for _ in range(left):
            os.close(_eaten.pop())


def _give_back(after):
    time.sleep(after)
    while _eaten:
        os.close(_eaten.pop())


def _short_of_descriptors(_folder, seconds=None):
    """Have no descriptor free while other worker processes must be started."""
    workers = worker_processes()
    _eat(0)
    for process in workers:
        with suppress(ProcessLookupError):  # it has just left by itself
            os.kill(process.pid, signal.SIGKILL)
    if seconds is None:
        threading.Thread(target=_eat_on, daemon=True).start()
    else:
        _give_back(seconds)


def _eat_on():
    while True:
        _eat(0)
        time.sleep(0.001)


def _jump(seconds):
    now = time.time
    time.time = lambda: now() + seconds


def _leave_working_folder(folder):
    gone = folder / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()


def _remove_temporary_folder(folder):
    for path in (folder / "temp").glob("nbtune-*"):
        shutil.rmtree(path)
    for process in worker_processes():
        process.kill()


def _close(*descriptors):
    for descriptor in descriptors:
        os.close(descriptor)


ENVIRONMENTS = {
    "nothing wrong": Environment(),
    **{
        f"{left} descriptors": Environment(
            says="Too many open files|unable to open database file|trials",
            before=lambda _, left=left: _eat(left),
        )
        for left in (0, 8, 12, 16, 20)
    },
    "no descriptors any more": Environment(
        says="Too many open files", meanwhile=_short_of_descriptors
    ),
    "no descriptors for 6 s": Environment(
        meanwhile=lambda folder: _short_of_descriptors(folder, 6.0)
    ),
    "no process or thread": Environment(
        says="can't start new thread|Resource temporarily unavailable", around=_without_root(4)
    ),
    "8 processes and threads": Environment(
        says="can't start new thread|Resource temporarily unavailable|trials",
        around=_without_root(8),
    ),
    "16 processes and threads": Environment(
        says="can't start new thread|Resource temporarily unavailable|trials",
        around=_without_root(16),
    ),
    "/dev/shm of 4 KB": Environment(around=mounting("mount -t tmpfs -o size=4k none /dev/shm")),
    "/dev/shm read-only": Environment(around=mounting("mount -t tmpfs -o ro none /dev/shm")),
    "no /dev/shm": Environment(
        around=mounting(
            "mkdir {}/dev && mount -t tmpfs none {}/dev && "
            "for each in null zero full random urandom; do "
            "touch {}/dev/$each && mount --bind /dev/$each {}/dev/$each; done && "
            "mount --rbind {}/dev /dev && test ! -e /dev/shm"
        )
    ),
    "read-only store": Environment(
        says="Read-only file system", around=mounting("mount -t tmpfs -o ro none {}/store")
    ),
    "store of 100 KB": Environment(
        says="No space left|disk is full",
        around=mounting("mount -t tmpfs -o size=100k none {}/store"),
    ),
    "no working folder": Environment(
        says="working folder was deleted", before=_leave_working_folder
    ),
    "temporary folder removed": Environment(meanwhile=_remove_temporary_folder),
    "clock 2 h ahead": Environment(meanwhile=lambda _: _jump(7200)),
    "clock 2 h back": Environment(meanwhile=lambda _: _jump(-7200)),
    "stdout and stderr closed": Environment(before=lambda _: _close(1, 2)),
    "all streams closed": Environment(before=lambda _: _close(0, 1, 2)),
    "Python's streams closed": Environment(
        before=lambda _: [stream.close() for stream in (sys.stdout, sys.stderr)]
    ),
    "no streams": Environment(
        around=("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"),
    ),
    "children are not waited for": Environment(
        before=lambda _: signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    ),
    "another PID namespace": Environment(
        around=("unshare", *(("-Ur",) if os.getuid() else ()), "--pid", "--fork", "--mount-proc")
    ),
}


def run(name, folder):
    """Run a sweep in an environment.

    Returns
    -------
    dict
        ``status``, ``said`` (the sentence about its end), ``trials`` (how many have ended) and
        ``seconds``.
    """
    environment = ENVIRONMENTS[name]
    for each in "store", "temp":
        (folder / each).mkdir(parents=True, exist_ok=True)
        (folder / each).chmod(0o777)
    around = [word.replace("{}", str(folder)) for word in environment.around]
    began = time.monotonic()
    driver = subprocess.Popen(
        [*around, sys.executable, __file__, name, str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "temp")},
        start_new_session=True,
    )
    try:
        output, _ = driver.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(driver.pid, signal.SIGKILL)
        output, _ = driver.communicate()
        return {"status": "hangs", "said": output, "trials": 0, "seconds": SECONDS}
    try:
        told = json.loads((folder / "told").read_text())
    except FileNotFoundError:
        raise RuntimeError(
            f"the environment {name!r} could not be built by {' '.join(around)}: {output}\n"
            "It takes root with CAP_SYS_ADMIN (docker run --cap-add SYS_ADMIN), or a user who may "
            "make namespaces (sysctl kernel.unprivileged_userns_clone=1)."
        ) from None
    return {**told, "seconds": round(time.monotonic() - began, 1)}


def main(name, folder):
    """Be the driver."""
    import nbtune
    from nbtune.workers import Local

    told = os.open(folder / "told", os.O_CREAT | os.O_WRONLY, 0o666)
    environment = ENVIRONMENTS[name]
    go = folder / "go"

    def train(x: nbtune.Real(0, 1)):
        number = nbtune.current_trial().number
        while number > 2 and not go.exists():
            time.sleep(0.01)
        nbtune.report(1, loss=x)

    sweep = nbtune.Sweep(
        train,
        minimize="loss",
        searcher="random",
        trials=TRIALS,
        retries=1,
        time_limit=3600,
        workers=Local(2),
        store=folder / "store",
    )
    answer = {"status": "failed", "trials": 0}
    try:
        environment.before(folder)
        sweep.start()
        while not sweep.wait(timeout=0.01) and sum(map(_has_ended, sweep.snapshot().trials)) < 2:
            pass
        environment.meanwhile(folder)
        go.mkdir()  # which takes no descriptor
        sweep.wait()
    except BaseException as error:  # noqa: BLE001 - that is what is looked at
        answer["said"] = f"{type(error).__name__}: {error}"
    else:
        answer["said"] = sweep.reason
        answer["status"] = str(sweep.status)
        answer["trials"] = sum(map(_has_ended, sweep.snapshot().trials))
    os.write(told, json.dumps(answer).encode())


def _has_ended(trial):
    return trial.status in ("completed", "failed", "stopped")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
