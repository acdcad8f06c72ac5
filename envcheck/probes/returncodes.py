"""Return codes of NVML and of the CUDA driver API, by name, and which of them say what. Pure."""

NVML_CODES: dict[int, tuple[str, str]] = {
    1: ("UNINITIALIZED", "Uninitialized"),
    2: ("INVALID_ARGUMENT", "Invalid Argument"),
    3: ("NOT_SUPPORTED", "Not Supported"),
    4: ("NO_PERMISSION", "Insufficient Permissions"),
    5: ("ALREADY_INITIALIZED", "Already Initialized"),
    6: ("NOT_FOUND", "Not Found"),
    7: ("INSUFFICIENT_SIZE", "Insufficient Size"),
    8: ("INSUFFICIENT_POWER", "Insufficient External Power"),
    9: ("DRIVER_NOT_LOADED", "Driver Not Loaded"),
    10: ("TIMEOUT", "Timeout"),
    11: ("IRQ_ISSUE", "Interrupt Request Issue"),
    12: ("LIBRARY_NOT_FOUND", "NVML Shared Library Not Found"),
    13: ("FUNCTION_NOT_FOUND", "Function Not Found"),
    14: ("CORRUPTED_INFOROM", "Corrupted infoROM"),
    15: ("GPU_IS_LOST", "GPU is lost"),
    16: ("RESET_REQUIRED", "GPU requires restart"),
    17: ("OPERATING_SYSTEM", "The operating system has blocked the request."),
    18: ("LIB_RM_VERSION_MISMATCH", "Driver/library version mismatch"),
    19: ("IN_USE", "In use by another client"),
    20: ("MEMORY", "Insufficient Memory"),
    21: ("NO_DATA", "No data"),
    22: ("VGPU_ECC_NOT_SUPPORTED", "vGPU not supported on GPU with ECC enabled"),
    23: ("INSUFFICIENT_RESOURCES", "Insufficient resources"),
    24: ("FREQ_NOT_SUPPORTED", "Frequency not supported"),
    25: ("ARGUMENT_VERSION_MISMATCH", "Argument version mismatch"),
    26: ("DEPRECATED", "Deprecated"),
    27: ("NOT_READY", "Not ready"),
    28: ("GPU_NOT_FOUND", "No GPUs found"),
    29: ("INVALID_STATE", "Invalid state"),
    30: ("RESET_TYPE_NOT_SUPPORTED", "Reset type not supported"),
    999: ("UNKNOWN", "Unknown Error"),
}
"""Names of nvmlReturn_t (nvml.h of CUDA 13, 2026-11-25)."""

CUDA_CODES: dict[int, str] = {
    1: "INVALID_VALUE",
    2: "OUT_OF_MEMORY",
    3: "NOT_INITIALIZED",
    4: "DEINITIALIZED",
    34: "STUB_LIBRARY",
    36: "CALL_REQUIRES_NEWER_DRIVER",
    46: "DEVICE_UNAVAILABLE",
    100: "NO_DEVICE",
    101: "INVALID_DEVICE",
    304: "OPERATING_SYSTEM",
    500: "NOT_FOUND",
    801: "NOT_SUPPORTED",
    802: "SYSTEM_NOT_READY",
    803: "SYSTEM_DRIVER_MISMATCH",
    804: "COMPAT_NOT_SUPPORTED_ON_DEVICE",
    999: "UNKNOWN",
}
"""Names of CUresult (cuda.h of CUDA 13, 2026-11-25): those a version query or an initialisation can give."""

NOT_SUPPORTED, NOT_FOUND, FUNCTION_NOT_FOUND, VERSION_MISMATCH = 3, 6, 13, 25
TROUBLE = frozenset((8, 9, 10, 11, 14, 15, 16, 17, 22, 29, 999))
"""NVML's codes that say, whatever the call, that the GPU itself is in trouble."""


def nvml_name(code: int) -> str:
    """`GPU_IS_LOST` for 15; `RETURN_555` for a code that NVML did not have when this was written."""
    return NVML_CODES[code][0] if code in NVML_CODES else f"RETURN_{code}"


def cuda_name(code: int) -> str:
    """`STUB_LIBRARY` for 34; `RETURN_555` for a code that is not in the table."""
    return CUDA_CODES.get(code, f"RETURN_{code}")
