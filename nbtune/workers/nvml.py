"""What NVIDIA's management library (NVML) knows of the GPUs here, asked through nvidia-ml-py."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

__all__ = ["Gpu", "Instance", "Nvml", "Survey", "survey"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A MIG instance.

    ``number`` is its "GPU instance/compute instance", by which CUDA also knows it.
    """

    uuid: str
    number: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU; ``index`` is its number in nvidia-smi, ``instances`` is None unless in MIG mode."""

    index: int
    uuid: str
    model: str = ""
    instances: tuple[Instance, ...] | None = None

    @property
    def devices(self) -> tuple[str, ...]:
        """The UUIDs of what CUDA can run on: the GPU itself, or in MIG mode its instances."""
        if self.instances is None:
            return (self.uuid,)
        return tuple(instance.uuid for instance in self.instances)


@dataclass(frozen=True, slots=True)
class Survey:
    """The GPUs found, by index; None when NVML could not be asked. ``note`` says why none."""

    gpus: tuple[Gpu, ...] | None
    note: str = ""


class Nvml(Protocol):
    """The part of the module ``pynvml`` that is used here; NVIDIA documents it."""

    NVMLError: type[Exception]
    NVMLError_LibraryNotFound: type[Exception]

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlDeviceGetCount(self) -> int: ...
    def nvmlDeviceGetHandleByIndex(self, index: int) -> Any: ...
    def nvmlDeviceGetUUID(self, handle: Any) -> str: ...
    def nvmlDeviceGetName(self, handle: Any) -> str: ...
    def nvmlDeviceGetMigMode(self, device: Any) -> list[int]: ...
    def nvmlDeviceGetMaxMigDeviceCount(self, device: Any) -> int: ...
    def nvmlDeviceGetMigDeviceHandleByIndex(self, device: Any, index: int) -> Any: ...
    def nvmlDeviceGetGpuInstanceId(self, device: Any) -> int: ...
    def nvmlDeviceGetComputeInstanceId(self, device: Any) -> int: ...


def survey(nvml: Nvml | None = None) -> Survey:
    """Return the GPUs of this machine that this process may use.

    Parameters
    ----------
    nvml : Nvml, optional
        By default the module ``pynvml`` of nvidia-ml-py, imported here.
    """
    if nvml is None:
        try:
            import pynvml  # noqa: PLC0415 - an extra, 0.1 s, needed by few
        except ImportError:
            return Survey(None, "nvidia-ml-py is not installed: pip install 'nbtune[gpu]'")
        nvml = cast("Nvml", pynvml)
    try:
        nvml.nvmlInit()
    except nvml.NVMLError_LibraryNotFound:
        return Survey(None, "there is no NVIDIA driver")
    except nvml.NVMLError as error:
        return Survey((), f"the NVIDIA driver says: {error}")
    try:
        return Survey(tuple(_gpus(nvml)), "the NVIDIA driver knows none")
    except nvml.NVMLError as error:
        return Survey((), f"the NVIDIA driver says: {error}")
    finally:
        nvml.nvmlShutdown()  # it counts: whoever else has it open keeps it


def _gpus(nvml: Nvml) -> Iterator[Gpu]:
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid = nvml.nvmlDeviceGetUUID(handle)
            model = nvml.nvmlDeviceGetName(handle)
        except nvml.NVMLError:
            continue  # fallen off the bus, or not ours: the others still work
        in_mig_mode = _is_in_mig_mode(nvml, handle)
        instances = tuple(_instances(nvml, handle)) if in_mig_mode else None
        yield Gpu(index=index, uuid=uuid, model=model, instances=instances)


def _is_in_mig_mode(nvml: Nvml, handle: Any) -> bool:
    try:
        current, _pending = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:
        return False  # most models have none, old drivers do not know the question
    return bool(current)


def _instances(nvml: Nvml, handle: Any) -> Iterator[Instance]:
    for place in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            instance = nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)
            yield Instance(
                uuid=nvml.nvmlDeviceGetUUID(instance),
                number=f"{nvml.nvmlDeviceGetGpuInstanceId(instance)}"
                f"/{nvml.nvmlDeviceGetComputeInstanceId(instance)}",
            )
        except nvml.NVMLError:
            continue  # places are not filled in a row; a container sees its own only
