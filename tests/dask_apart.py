"""A driver that shares neither folder nor network with its Dask workers; prints what it saw.

``python dask_apart.py ADDRESS FOLDER here`` stands in for the lack of namespaces: the workers'
folder and network are this machine's, and the driver does without them.
"""

import json
import sys
from pathlib import Path

import numpy as np
from driving import Driver

from nbtune import current_trial, load_checkpoint, report, save_checkpoint
from nbtune.decision import Continue
from nbtune.workers import Dask
from nbtune.workers.base import Assignment, Ended, Reported
from nbtune.workers.dask import cluster, station

data = np.arange(3_000_000, dtype=float)  # 24 MB: two pieces


def objective():
    import os

    def train(params):
        if params.get("fill"):
            print("x" * params["fill"])
        start = load_checkpoint(0)
        for epoch in range(start + 1, params["epochs"] + 1):
            save_checkpoint(epoch)
            report(epoch, total=float(data.sum()), started=start, pid=os.getpid())
        print("the end")
        (current_trial().dir / "weights.bin").write_bytes(b"1234")

    return train


def do_without_what_is_shared():
    """Let every dial to a worker time out, and the nonce be gone when workers look for it."""
    cluster._DIAL_SECONDS = 0
    install = station.Station.install

    async def blind(self, **options):
        self.errand.nonce[0].unlink(missing_ok=True)
        return await install(self, **options)

    station.Station.install = blind


def first_epochs(driver, number):
    for _ in range(20):
        event = driver.reported(number, waiting=True)
        driver.workers.answer(number, Continue(event.reports[-1].step + 1))


def main(address, folder, *mode):
    if mode:
        do_without_what_is_shared()
    seen = {}
    with Driver(Dask(address, 1), objective(), folder) as driver:
        number = driver.start({"epochs": 30, "fill": 200_000}, milestone=1)
        first_epochs(driver, number)
        seen["before_its_report"] = (folder / "0" / "checkpoints").is_dir()
        driver.reported(number, waiting=True)
        driver.workers.answer(number, Continue())
        seen["how"] = driver.ended(number).how
        seen["steps"] = [r.step for r in driver.reports(number)]
        seen["total"] = driver.reports(number)[0].metrics["total"]
        log = (folder / "0" / "log.txt").read_text()
        seen["log"] = [len(log), log[-20:]]
        seen["weights"] = (folder / "0" / "weights.bin").read_text()
        seen["checkpoints"] = sorted(p.name for p in (folder / "0" / "checkpoints").iterdir())

        number = driver.start({"epochs": 1000}, milestone=10)
        station_ = next(iter(driver.workers._session._stations.values()))
        seen["straight"] = station_._wire._straight
        seen["shared"] = station_.shared
        driver.reported(number, waiting=True)
        print(json.dumps({"kill": station_.address}), flush=True)
        sys.stdin.readline()  # the worker has been killed
        ended = driver.ended(number)
        seen["lost"] = [ended.how, ended.failure.type]
        while not driver.ready:  # on another worker
            driver.pump()
        known = driver.reports(number)[-1].step
        driver.events = [e for e in driver.events if not isinstance(e, Ended | Reported)]
        driver._read.clear()
        driver.workers.start(
            driver.ready.popleft(),
            Assignment(number=number, params={"epochs": 20}, known_until=known),
        )
        ended = driver.ended(number)
        seen["again"] = [ended.how, ended.failure and ended.failure.message]
        seen["again_started"] = driver.reports(number)[0].metrics["started"]
        seen["again_steps"] = [r.step for r in driver.reports(number)]
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
