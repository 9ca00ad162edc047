"""A trial that uses more memory than it may ends alone; what is shared does not count."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest

from nbtune import report

MB = 10**6


def ways():
    """Return ways to use more than there is; nested, so that they travel by value."""

    def itself():
        held = []
        for _ in range(20):
            held.append(b"x" * 20_000_000)
            time.sleep(0.02)
        time.sleep(1000)

    def child():
        code = "import time; held = b'x' * 300_000_000; time.sleep(1000)"
        subprocess.run([sys.executable, "-S", "-c", code], check=True)

    def shared():
        import mmap

        block = mmap.mmap(-1, 300_000_000)
        block.write(b"x" * len(block))
        time.sleep(1000)

    return {"itself": itself, "child": child, "shared": shared}


@pytest.mark.parametrize("where", ["itself", "child", "shared"])
def test_a_trial_over_its_memory_fails_with_what_it_used(beside, where):
    use = ways()[where]

    def fault():
        print("the line before")
        report(1, value=1.0)
        use()

    scene = beside(fault, memory="200 MB")

    assert scene.fault.status == "failed"
    assert scene.fault.failure.type == "MemoryLimit"
    used, _, limit = scene.fault.failure.message.partition(" of ")
    assert limit == "200 MB"
    assert 200 <= float(used.removeprefix("used ").removesuffix(" MB")) < 1000
    assert scene.fault.reason.startswith("MemoryLimit at epoch 1: used ")
    assert scene.fault.log == "the line before\n"


def test_the_notebooks_data_does_not_count_until_it_is_written_to(beside):
    data = np.ones(300 * MB // 8)

    def fault():
        total = float(data.sum())
        time.sleep(0.3)
        return total

    scene = beside(fault, memory="200 MB")

    assert scene.fault.value("value") == data.sum()


def test_a_trial_that_writes_to_the_notebooks_data_is_charged_for_it(beside):
    data = np.ones(300 * MB // 8)

    def fault():
        data[:] = 0
        time.sleep(1000)

    scene = beside(fault, memory="200 MB")

    assert scene.fault.failure.type == "MemoryLimit"


def test_what_forked_children_share_counts_once(beside):
    def fault():
        held = np.ones(150 * MB // 8)
        children = []
        for _ in range(3):
            pid = os.fork()
            if pid == 0:
                time.sleep(1.5)
                os._exit(0)
            children.append(pid)
        for pid in children:
            os.waitpid(pid, 0)
        return float(held[0])

    scene = beside(fault, memory="300 MB")

    assert scene.fault.status == "completed"


def test_what_a_trial_keeps_for_ever_is_not_charged_to_the_next(beside):
    def fault():
        sys.modules["kept"] = np.ones(150 * MB // 8)
        return float(os.getpid())

    def after():
        held = np.ones(150 * MB // 8)
        time.sleep(0.5)
        return float(os.getpid()) * held[0]

    scene = beside(fault, after=after, memory="250 MB")

    assert scene.next.value("value") != scene.fault.value("value")
