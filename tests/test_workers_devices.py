"""Which GPUs each slot sees, on machines made up of their names."""

import itertools
import os
import sys

import pytest
from driving import Driver, wait_for_all
from hypothesis import given
from hypothesis import strategies as st

from nbtune.exceptions import SpecError
from nbtune.workers import Local
from nbtune.workers.devices import pack, usable, visible_devices
from nbtune.workers.nvml import Gpu, Instance, Survey

A, B, C = (f"GPU-{letter * 8}-0000-0000-0000-000000000000" for letter in "abc")
M0, M1 = (f"MIG-{number * 8}-0000-0000-0000-000000000000" for number in "01")


def machine(*uuids, models=None):
    """Return the GPUs of these UUIDs; those in MIG mode have UUIDs of instances beside theirs."""
    gpus = []
    for index, names in enumerate(uuids):
        uuid, *instances = [names] if isinstance(names, str) else names
        gpus.append(
            Gpu(
                index=index,
                uuid=uuid,
                model=models[index] if models else "H200",
                instances=tuple(
                    Instance(uuid=name, number=f"{place + 7}/0")
                    for place, name in enumerate(instances)
                )
                if instances
                else None,
            )
        )
    return tuple(gpus)


THREE = machine(A, B, C)
IN_MIG_MODE = machine([A, M0, M1], B)


@pytest.fixture
def shown(tmp_path):
    """Return what the slots see of some GPUs (None: NVML cannot be asked)."""

    def show(gpus, found, variables=None, *, note="", files=()):
        for name in files:
            (tmp_path / name).touch()
        return visible_devices(
            gpus,
            environment=variables or {},
            find=lambda: Survey(found, note),
            nodes=tmp_path,
        )

    return show


def seen(slots):
    return [slot["CUDA_VISIBLE_DEVICES"] for slot in slots]


# --- what CUDA_VISIBLE_DEVICES means


def test_all_gpus_are_usable_unless_some_were_chosen():
    assert usable(THREE, None, by_bus=False) == [A, B, C]


@pytest.mark.parametrize(
    ("chosen", "devices"),
    [
        ("2,0", [C, A]),
        (" 1 , +2", [B, C]),
        ("1x,2ampere", [B, C]),  # the driver reads the digits
        ("0,2,-1,1", [A, C]),
        ("0,7,1", [A]),
        ("0,,1", [A]),
        ("none,0", []),
        ("-1", []),
        ("", []),
        ("0,1,0", []),  # what is named twice hides all
        (f"{B},{A}", [B, A]),
        ("GPU-b,GPU-c", [B, C]),
        ("GPU-b,GPU-d,GPU-a", [B]),
        ("GPU-", []),  # which of the three?
        ("GPU-b,0", [B]),
        ("0,GPU-b", [A]),
        ("GPU-b," + B, []),
    ],
)
def test_the_chosen_list_is_read_as_cuda_reads_it(chosen, devices):
    assert usable(THREE, chosen, by_bus=True) == devices


@pytest.mark.parametrize(
    ("chosen", "devices"),
    [
        (None, [M0, M1, B]),
        ("0", [M0, M1]),
        ("1,0", [B, M0, M1]),
        ("GPU-a", [M0, M1]),
        (f"{M1},{M0}", [M1, M0]),
        ("MIG-1", [M1]),
        ("MIG-", []),
        (f"MIG-{A}/8/0", [M1]),
        ("MIG-GPU-a/7/0,MIG-GPU-a/8/0", [M0, M1]),
        ("MIG-GPU-a/9/0", []),
        (f"{M1},{B}", [M1]),
    ],
)
def test_a_gpu_in_mig_mode_counts_as_its_instances(chosen, devices):
    assert usable(IN_MIG_MODE, chosen, by_bus=False) == devices


def test_indices_among_different_models_are_left_to_cuda_whose_order_nobody_else_knows():
    gpus = machine(A, B, models=["T4", "H200"])

    assert usable(gpus, "1,0", by_bus=False) == ["1", "0"]
    assert usable(gpus, "1,0", by_bus=True) == [B, A]
    assert usable(gpus, "1,2", by_bus=False) == ["1"]


# --- packing


@given(
    st.lists(st.integers(0, 63), unique=True, max_size=8).map(
        lambda numbers: [f"GPU-{number}" for number in numbers]
    ),
    st.one_of(
        st.floats(0.01, 0.999),
        st.integers(2, 100).map(lambda slots: 1 / slots),
        st.integers(1, 9),
    ),
)
def test_no_device_is_overcommitted_and_every_slot_has_its_share_in_order(devices, gpus):
    slots = pack(devices, gpus)
    taken = [device for slot in slots for device in slot]

    assert {len(slot) for slot in slots} <= {max(1, int(gpus))}
    assert [device for device, _ in itertools.groupby(taken)] == devices[: len(set(taken))]
    if gpus >= 1:
        assert len(taken) == len(set(taken)) == len(devices) // gpus * gpus
    else:
        room = {taken.count(device) for device in devices}
        assert all(count * gpus <= 1 + 1e-6 < (count + 1) * gpus + 2e-6 for count in room)


@pytest.mark.parametrize("slots", range(2, 101))
def test_as_many_slots_share_a_gpu_as_the_fraction_was_made_for(slots):
    assert pack([A], 1 / slots) == [(A,)] * slots


def test_slots_with_a_fraction_fill_a_gpu_before_the_next():  # FEATURES A11
    assert pack([A, B], 0.3) == [(A,)] * 3 + [(B,)] * 3


def test_a_slot_of_several_gpus_gets_neighbours():  # FEATURES A11
    assert pack([A, B, C, "GPU-d", "GPU-e"], 2) == [(A, B), (C, "GPU-d")]


def test_a_slot_never_gets_several_mig_instances():
    assert pack([M0, M1, A, B], 2) == [(A, B)]
    assert pack([M0, M1, A], 1) == [(M0,), (M1,), (A,)]
    assert pack([M0, M1], 0.5) == [(M0,), (M0,), (M1,), (M1,)]


# --- the variables of the slots


def test_slots_are_keyed_by_uuid(shown):  # FEATURES A11
    assert shown(2, machine(A, B)) == [{"CUDA_VISIBLE_DEVICES": f"{A},{B}"}]
    assert seen(shown(0.5, machine(A))) == [A, A]


def test_only_chosen_gpus_are_given_out(shown):
    assert seen(shown(1, THREE, {"CUDA_VISIBLE_DEVICES": "2,1"})) == [C, B]


def test_without_nvml_the_chosen_list_is_taken_as_it_stands(shown):
    variables = {"CUDA_VISIBLE_DEVICES": "4, 5,GPU-77a,7,-1,9"}

    assert shown(2, None, variables) == [
        {"CUDA_VISIBLE_DEVICES": "4,5"},
        {"CUDA_VISIBLE_DEVICES": "GPU-77a,7"},
    ]


def test_without_nvml_the_device_files_are_counted_in_the_order_of_the_bus(shown):
    files = ("nvidia0", "nvidia3", "nvidiactl", "nvidia-uvm")

    assert shown(1, None, files=files) == [
        {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": index} for index in "01"
    ]


# --- refusals


@pytest.mark.parametrize("gpus", [-1, 1.5, 0.001, float("nan"), float("inf"), True, "1", [1]])
def test_gpus_are_whole_or_a_fraction_of_one(shown, gpus):
    with pytest.raises(SpecError, match=r"a slot gets whole GPUs, or a fraction of one"):
        shown(gpus, THREE)


def test_a_machine_without_a_driver_is_named_as_such(shown):
    with pytest.raises(SpecError, match=r"gpus=1: no GPU found \(no driver\)\. Leave gpus out"):
        shown(1, None, note="no driver")


@pytest.mark.parametrize("hiding", ["-1", "", "1,1"])
@pytest.mark.parametrize("found", [THREE, None])
def test_a_list_that_hides_all_is_named(shown, found, hiding):
    with pytest.raises(
        SpecError, match=rf"no GPU found \(CUDA_VISIBLE_DEVICES='{hiding}' shows none"
    ):
        shown(1, found, {"CUDA_VISIBLE_DEVICES": hiding})


def test_mig_mode_without_instances_is_named(shown):
    empty = (Gpu(index=0, uuid=A, instances=()),)

    with pytest.raises(SpecError, match="MIG mode is on and there is no instance"):
        shown(1, empty)


def test_too_few_gpus_for_one_slot_are_refused(shown):
    with pytest.raises(SpecError, match=r"gpus=4: only 3 found\. Use gpus=3\."):
        shown(4, THREE)


def test_several_mig_instances_a_slot_are_refused(shown):
    with pytest.raises(SpecError, match=r"one MIG instance alone.*1 other GPUs\. Use gpus=1\."):
        shown(2, IN_MIG_MODE)


# --- Local


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)  # whatever GPUs this machine has
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")


def test_more_slots_than_gpus_are_refused(two_gpus):
    with pytest.raises(SpecError, match=r"room for 2\. Use slots=2"):
        Local(3, gpus=1)


def test_by_default_there_are_no_more_slots_than_gpus(two_gpus):
    assert Local(gpus=2).slots == 1


@pytest.mark.parametrize(
    ("slots", "cpus", "gpus", "plan"),
    [
        (4, 2, 0.5, "4 slots: 2 cores, half a GPU each"),
        (6, 1, 1 / 3, "6 slots: 1 core, a third of a GPU each"),
        (2, 1, 0.4, "2 slots: 1 core, 0.4 of a GPU each"),
        (2, 1, 1, "2 slots: 1 core, 1 GPU each"),
        (1, 1, 2, "1 slot: 1 core, 2 GPUs each"),
        (2, 3, 0, "2 slots, 3 cores each"),
    ],
)
def test_the_plan_names_gpus(two_gpus, slots, cpus, gpus, plan):  # FEATURES A11
    assert Local(slots, cpus=cpus, gpus=gpus).describe() == plan


def test_the_plan_names_mig_instances(two_gpus, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-a,MIG-b")

    assert Local(2, gpus=1).describe() == "2 slots: 1 core, 1 MIG instance each"


def look(params):
    """Say by a number which variables this process has."""
    print(os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("CUDA_DEVICE_ORDER"))
    wait_for_all(params["slots"])


def logs_of(workers, folder):
    with Driver(workers, look, folder) as driver:
        params = {"slots": workers.slots}
        for number in [driver.start(params) for _ in range(workers.slots)]:
            driver.ended(number)
    return sorted((folder / str(n) / "log.txt").read_text() for n in range(workers.slots))


@pytest.mark.parametrize(
    ("gpus", "logs"),
    [
        (1, ["GPU-a None\n", "GPU-b None\n"]),
        (0.5, ["GPU-a None\n", "GPU-a None\n"]),
        (0, ["GPU-a,GPU-b None\n", "GPU-a,GPU-b None\n"]),
    ],
)
def test_a_slots_process_sees_its_own_gpus_alone(  # FEATURES A11
    two_gpus, monkeypatch, tmp_path, gpus, logs
):
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)

    assert logs_of(Local(2, gpus=gpus), tmp_path) == logs


def test_a_slot_of_two_gpus_sees_both(two_gpus, tmp_path):
    assert logs_of(Local(1, gpus=2), tmp_path) == ["GPU-a,GPU-b None\n"]


def test_gpus_are_looked_up_when_the_workers_open(two_gpus, monkeypatch, tmp_path):
    workers = Local(1, gpus=1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-other")

    assert logs_of(workers, tmp_path) == ["GPU-other None\n"]


def test_workers_that_were_made_where_there_were_more_gpus_do_not_open(
    two_gpus, monkeypatch, tmp_path
):
    workers = Local(2, gpus=1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a")

    with pytest.raises(SpecError, match=r"room for 1\. Use slots=1"):
        Driver(workers, look, tmp_path)
    assert not list(tmp_path.iterdir())
