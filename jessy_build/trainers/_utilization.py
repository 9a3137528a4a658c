"""How busy the GPU is, where the platform says so: the driver of an NVIDIA card does, in less than
a millisecond. macOS says it to root alone."""

import ctypes
from functools import cache
from typing import NamedTuple

NVML = "libnvidia-ml.so.1"


class Rates(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class Card(NamedTuple):
    nvml: ctypes.CDLL
    handle: ctypes.c_void_p


def percent() -> int | None:
    """Share of the last moments in which it computed. None where nobody says."""
    card, rates = _the_card(), Rates()
    # The functions give 0 where all went well.
    if card is None or card.nvml.nvmlDeviceGetUtilizationRates(card.handle, ctypes.byref(rates)):
        return None
    return int(rates.gpu)


@cache
def _the_card() -> Card | None:
    """Of several cards nobody says which one MLX computes on."""
    try:
        nvml = ctypes.CDLL(NVML)
    except OSError:
        return None
    count, handle = ctypes.c_uint(), ctypes.c_void_p()
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) or count.value != 1:
        return None
    found = nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle)) == 0
    return Card(nvml, handle) if found else None
