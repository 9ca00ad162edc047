"""A driver of workers as small as can be, for their tests."""

import contextlib
import time
from collections import Counter, deque

import psutil

from nbtune import current_trial
from nbtune.workers.base import Assignment, Ended, Job, Reported, SlotReady

PATIENCE = 120.0  # seconds for what takes a moment: a busy machine makes it slow, not wrong


class Driver:
    """Opens workers on an objective and keeps what they post."""

    def __init__(self, workers, call, folder, *, step_name="epoch", result_metric="value"):
        self.workers = workers
        self.inbox = workers.inbox()
        self.events = []
        self.ready = deque()
        self._read = Counter()
        self._numbers = iter(range(1_000_000))
        job = Job(
            call=call,
            payload=None,
            step_name=step_name,
            result_metric=result_metric,
            folder=folder,
            seed=7,
        )
        workers.open(job, self.inbox)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.workers.close()

    def pump(self):
        """Take in the next event."""
        event = self.inbox.get(1e6 if self.inbox.virtual else PATIENCE)
        if isinstance(event, BaseException):
            raise event
        assert event is not None, "no worker has anything to say"
        self.events.append(event)
        if isinstance(event, SlotReady):
            self.ready.append(event.slot)
        return event

    def start(self, params=None, milestone=None):
        """Start a trial on the next slot that is ready; return its number."""
        while not self.ready:
            self.pump()
        number = next(self._numbers)
        assignment = Assignment(number=number, params=params or {}, milestone=milestone)
        self.workers.start(self.ready.popleft(), assignment)
        return number

    def reported(self, number, *, waiting=False):
        """Return the next `Reported` of a trial that has not been returned yet."""
        while True:
            for event in self.events[self._read[number] :]:
                self._read[number] += 1
                if (
                    isinstance(event, Reported)
                    and event.number == number
                    and event.waiting >= waiting
                ):
                    return event
            self.pump()

    def ended(self, number):
        """Wait for a trial's `Ended`, unless it has come already."""
        while True:
            for event in self.events:
                if isinstance(event, Ended) and event.number == number:
                    return event
            self.pump()

    def reports(self, number):
        """Return all reports of a trial so far."""
        return [
            report
            for event in self.events
            if isinstance(event, Reported) and event.number == number
            for report in event.reports
        ]

    def run(self, params=None, milestone=None):
        """Run a trial to its end."""
        return self.ended(self.start(params, milestone))


def is_gone(pid):
    """Whether a process has ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until(condition):
    """Return once `condition()` holds; fail after `PATIENCE`."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s"
        time.sleep(0.01)


def wait_for_all(count):
    """Return, in a trial, once so many trials of its sweep run at once: each on its own slot."""
    trial = current_trial()
    (trial.dir.parent / f"runs-{trial.number}").touch()
    wait_until(lambda: len(list(trial.dir.parent.glob("runs-*"))) == count)


def worker_processes(pid=None):
    """Return the worker processes of process `pid`, this one unless given."""
    found = []
    for supervisor in supervisors(pid):
        with contextlib.suppress(psutil.Error):
            found.extend(supervisor.children())
    return found


def supervisors(pid=None):
    """Return the parents of the worker processes of process `pid`, this one unless given."""
    found = []
    for child in psutil.Process(pid).children():
        with contextlib.suppress(psutil.Error):
            if "loky.backend.popen_loky_posix" in child.cmdline():
                found.append(child)
    return found
