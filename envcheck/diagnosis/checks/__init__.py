"""All checks in dependency order: what explains stands before what it explains.

At equal severity and certainty the first finding is the primary one, so this order is part of the judgement.
"""

from envcheck.diagnosis.check import Check
from envcheck.diagnosis.checks import (
    companions,
    container,
    driver,
    driver_answers,
    driver_library,
    driver_versions,
    gpu,
    gpu_build,
    gpu_modes,
    gradient_facts,
    gradients,
    index,
    libraries,
    looks,
    network,
    place,
    proxies,
    python,
    python_release,
    resolve,
    route,
    runtime,
    stacks,
    system,
    toolkit,
    torch_found,
    torch_import,
    torch_install,
    use,
    windows,
    wrong_build,
    wrong_vendor,
)

_MODULES = (
    (system, python, python_release),
    (container, stacks, driver, driver_library, driver_answers, driver_versions, gpu, gpu_modes, gpu_build),
    (torch_found, torch_install, wrong_build, wrong_vendor, windows, libraries, companions, torch_import),
    (runtime, use),
    (gradients, gradient_facts),
    (network, proxies, index, resolve, route, place),
    (toolkit, looks),
)
CHECKS: tuple[Check, ...] = tuple(check for row in _MODULES for module in row for check in module.CHECKS)
