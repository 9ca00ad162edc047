"""The border to NVML, on a module that answers as pynvml does."""

import sys

import pytest

from nbtune.workers.nvml import Gpu, Instance, Survey, survey


class FakeNvml:
    """GPUs as pynvml tells of them: each a dict of ``uuid``, and ``instances`` in MIG mode.

    An instance of None is a place that is not filled.
    """

    class NVMLError(Exception):
        pass

    class NVMLError_LibraryNotFound(NVMLError):
        pass

    def __init__(self, *gpus, at_init=None):
        self.gpus = gpus
        self.at_init = at_init
        self.opened = 0

    def nvmlInit(self):
        if self.at_init is not None:
            raise self.at_init
        self.opened += 1

    def nvmlShutdown(self):
        self.opened -= 1

    def nvmlDeviceGetCount(self):
        if self.gpus == ("broken",):
            raise self.NVMLError("Unknown Error")
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index):
        if self.gpus[index] is None:
            raise self.NVMLError("GPU is lost")
        return self.gpus[index]

    def nvmlDeviceGetUUID(self, handle):
        return handle["uuid"]

    def nvmlDeviceGetName(self, handle):
        return "NVIDIA H200"

    def nvmlDeviceGetMigMode(self, device):
        if "instances" not in device:
            raise self.NVMLError("Not Supported")
        return [int(device["instances"] is not None), 0]

    def nvmlDeviceGetMaxMigDeviceCount(self, device):
        return len(device["instances"])

    def nvmlDeviceGetMigDeviceHandleByIndex(self, device, index):
        if device["instances"][index] is None:
            raise self.NVMLError("Not Found")
        return {"uuid": device["instances"][index], "place": index}

    def nvmlDeviceGetGpuInstanceId(self, device):
        return device["place"] + 7

    def nvmlDeviceGetComputeInstanceId(self, device):
        return 0


def gpu(index, uuid, instances=None):
    return Gpu(index=index, uuid=uuid, model="NVIDIA H200", instances=instances)


def test_gpus_are_found_by_index_and_uuid():
    found = survey(FakeNvml({"uuid": "GPU-a"}, {"uuid": "GPU-b"}))

    assert found.gpus == (gpu(0, "GPU-a"), gpu(1, "GPU-b"))


def test_a_gpu_in_mig_mode_has_the_instances_that_exist():
    found = survey(FakeNvml({"uuid": "GPU-a", "instances": ["MIG-x", None, "MIG-y"]}))

    instances = (Instance(uuid="MIG-x", number="7/0"), Instance(uuid="MIG-y", number="9/0"))
    assert found.gpus == (gpu(0, "GPU-a", instances),)
    assert found.gpus[0].devices == ("MIG-x", "MIG-y")


def test_a_gpu_whose_mig_mode_is_off_is_one_device():
    found = survey(FakeNvml({"uuid": "GPU-a", "instances": None}))

    assert found.gpus[0].devices == ("GPU-a",)


def test_a_gpu_that_does_not_answer_is_left_out_and_the_rest_keep_their_index():
    found = survey(FakeNvml(None, {"uuid": "GPU-b"}))

    assert found.gpus == (gpu(1, "GPU-b"),)


def test_without_the_package_nvml_cannot_be_asked(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)

    assert survey() == Survey(None, "nvidia-ml-py is not installed: pip install 'nbtune[gpu]'")


def test_without_a_driver_nvml_cannot_be_asked():
    nvml = FakeNvml(at_init=FakeNvml.NVMLError_LibraryNotFound("NVML Shared Library Not Found"))

    assert survey(nvml) == Survey(None, "there is no NVIDIA driver")


@pytest.mark.parametrize(
    "nvml", [FakeNvml(at_init=FakeNvml.NVMLError("Unknown Error")), FakeNvml("broken")]
)
def test_a_driver_that_fails_has_no_gpus_and_says_why(nvml):
    assert survey(nvml) == Survey((), "the NVIDIA driver says: Unknown Error")


def test_a_driver_without_gpus_has_none():
    assert survey(FakeNvml()) == Survey((), "the NVIDIA driver knows none")


@pytest.mark.parametrize("nvml", [FakeNvml({"uuid": "GPU-a"}), FakeNvml("broken")])
def test_nvml_is_closed_again(nvml):
    survey(nvml)

    assert nvml.opened == 0


def test_the_real_module_answers_without_noise(capfd):
    found = survey()

    assert capfd.readouterr() == ("", "")
    assert all(gpu.uuid.startswith("GPU-") for gpu in found.gpus or ())


def test_the_fake_has_the_functions_of_the_real_module():
    import pynvml

    names = [name for name in vars(FakeNvml) if name.lower().startswith("nvml")]

    assert len(names) == 13
    assert all(hasattr(pynvml, name) for name in names)
    assert issubclass(pynvml.NVMLError_LibraryNotFound, pynvml.NVMLError)
