"""What this machine is, without importing torch: for records, for benchmarks, for the report."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections import Counter
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import joblib
import psutil
from pydantic import BaseModel, ConfigDict

PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow")
"""Those whose version can change a number."""


class Machine(BaseModel):
    """A row of the report's environment table, and whether the CPU computes FP16 itself."""

    model_config = ConfigDict(frozen=True)

    system: str
    cpu: str
    gpu: str | None
    ram_gib: int
    native_fp16: bool


@cache
def this_machine() -> Machine:
    flags = _cpu_info("flags", "Features").split()
    return Machine(
        system=_system(),
        cpu=cpu_name(),
        gpu=_counted([name for _, _, name in _gpus()]) or None,
        ram_gib=round(psutil.virtual_memory().total / 2**30),
        native_fp16="avx512_fp16" in flags or "asimdhp" in flags,
    )


def cpu_name() -> str:
    return _cpu_info("model name") or platform.processor() or platform.machine()


@cache
def cores() -> int:
    """Cores that this process may use (affinity and cgroup limits counted)."""
    return int(joblib.cpu_count())


def gpu_names() -> tuple[str, ...]:
    """Names of the NVIDIA GPUs that CUDA_VISIBLE_DEVICES leaves, in its order."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return tuple(name for _, _, name in _gpus())
    chosen = []
    for wanted in filter(None, map(str.strip, visible.split(","))):
        match = [
            name for index, uuid, name in _gpus() if wanted == index or uuid.startswith(wanted)
        ]
        if not match:  # CUDA ignores an entry that is not there and all that follow
            break
        chosen.append(match[0])
    return tuple(chosen)


@cache
def _gpus() -> tuple[tuple[str, str, str], ...]:
    """Index, UUID and name of each NVIDIA GPU of the machine, from nvidia-smi."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    query = [program, "--query-gpu=index,uuid,name", "--format=csv,noheader"]
    asked = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    if asked.returncode != 0:
        return ()
    rows = [[field.strip() for field in line.split(",")] for line in asked.stdout.splitlines()]
    return tuple((index, uuid, name) for index, uuid, name in rows)


def _counted(names: list[str]) -> str:
    """`2 x A, B`"""
    counts = Counter(names)
    return ", ".join(name if n == 1 else f"{n} x {name}" for name, n in counts.items())


@cache
def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


@cache
def commit() -> str | None:
    """The git commit of this code, with `+` if the working tree differs; None outside git."""
    here = Path(__file__).parent
    git = [
        "git",
        "-C",
        str(here),
        "describe",
        "--always",
        "--abbrev=12",
        "--exclude=*",
        "--dirty=+",
    ]
    try:
        asked = subprocess.run(git, capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return None
    return asked.stdout.strip() or None


def _system() -> str:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return f"{platform.system()} {platform.release()}"
    return f"{release['NAME']} {release.get('VERSION_ID', '')}".strip()


def _cpu_info(*names: str) -> str:
    """The first value of one of these fields in /proc/cpuinfo, or an empty string."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    for line in lines:
        field, _, value = line.partition(":")
        if field.strip() in names:
            return value.strip()
    return ""
