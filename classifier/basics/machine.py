"""What this machine is, without importing torch: for records, for benchmarks, for the report."""

from __future__ import annotations

import hashlib
import math
import os
import platform
import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil
from pydantic import BaseModel, ConfigDict

from classifier.basics.limits import limits

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


@dataclass(frozen=True, order=True)
class Platform:
    """What a number depends on beside its spec. A speed is another on another platform; an accuracy
    may differ in its last digits, and with other instruction sets as one of another seed does."""

    device: str
    """A GPU's name, or a CPU's as `cpu_device` gives it."""
    threads: int
    torch: str
    """The version."""

    @property
    def instructions(self) -> str:
        """Both libraries' as the device's name has them: `AVX2`, `AVX2, ATen AVX512`; empty where
        it has none, as a GPU's."""
        match = _INSTRUCTIONS.search(self.device)
        return match["all"] if match else ""


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


def cpu_device() -> str:
    """What a record calls this CPU: its name, and the instruction set that torch computes with,
    as `AMD EPYC (AVX2)`. Equal trainings under two of them differ in their last digits."""
    instructions = instruction_set()
    return f"{cpu_name()} ({instructions})" if instructions else cpu_name()


def instruction_set() -> str:
    """Of the convolutions, which oneDNN computes, as `AVX2`; torch's own kernels use the same, or
    theirs is added: `AVX2, ATen AVX512`. Empty for what is no x86 CPU, or can't be looked at.

    Found as both libraries find it, by the CPU and by ONEDNN_MAX_CPU_ISA and ATEN_CPU_CAPABILITY.
    """
    flags = frozenset(_cpu_info("flags").split())
    there = [name for name, needed in _ONEDNN.items() if needed <= flags]
    if not there:
        return ""
    asked_most = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    most = _ONEDNN_MOST.get(asked_most.lower())
    if most in there:
        there = there[: there.index(most) + 1]
    used = there[-1]
    asked = os.environ.get("ATEN_CPU_CAPABILITY", "")
    own = [name for name, needed in _ATEN.items() if needed <= flags][-1]
    own = asked.upper() if asked in ("default", "avx2", "avx512") else own
    return used if used.partition("_")[0] == own else f"{used}, ATen {own}"


def is_device(recorded: str, device: str) -> bool:
    """Whether what a record says may be used on this device. Records from before instruction sets
    were named may: nothing is done again for want of the name, but a report shows it as it is."""
    return recorded in (device, without_instructions(device))


def without_instructions(device: str) -> str:
    """The name of a device as records had it before instruction sets were named."""
    return _INSTRUCTIONS.sub("", device)


def instructions_of(device: str) -> str:
    """oneDNN's in the name of a device, as `AVX2`; empty where it has none."""
    match = _INSTRUCTIONS.search(device)
    return match["onednn"] if match else ""


_INSTRUCTIONS = re.compile(r" \((?P<all>(?P<onednn>SSE41|AVX\w*)(?:, ATen \w+)?)\)$")
INSTRUCTION_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY")

_AVX512 = frozenset({"avx512f", "avx512bw", "avx512vl", "avx512dq"})
_ONEDNN = {
    "SSE41": frozenset({"sse4_1"}),
    "AVX": frozenset({"avx"}),
    "AVX2": frozenset({"avx2"}),
    "AVX512": _AVX512,
    "AVX512_FP16": _AVX512 | {"avx512_fp16"},
}
"""The instruction sets of oneDNN that are told apart, each with those of /proc/cpuinfo's flags that
it needs, the oldest first. Those between them (VNNI, BF16) change no bit of FP32 or FP16."""
_ONEDNN_MOST = {
    "sse41": "SSE41",
    "avx": "AVX",
    "avx2": "AVX2",
    "avx2_vnni": "AVX2",
    "avx2_vnni_2": "AVX2",
    "avx512_core": "AVX512",
    "avx512_core_vnni": "AVX512",
    "avx512_core_bf16": "AVX512",
}
"""What the values of ONEDNN_MAX_CPU_ISA leave, in any case; all others leave every one of ours."""
_ATEN = {
    "DEFAULT": frozenset[str](),
    "AVX2": frozenset({"avx2", "fma"}),
    "AVX512": frozenset({"avx512vl", "avx512bw", "avx512dq", "fma"}),
}
"""The same for ATen, torch's own kernels."""


@cache
def cores() -> int:
    """Cores that this process may use: by its affinity, the quota of its control groups and
    LOKY_MAX_CPU_COUNT, as joblib.cpu_count has them, whose import takes a fifth of a second."""
    found = [float(os.cpu_count() or 1)]
    if hasattr(os, "sched_getaffinity"):
        found.append(len(os.sched_getaffinity(0)))
    if (quota := limits().cores) is not None:
        found.append(math.ceil(quota))
    if (asked := os.environ.get("LOKY_MAX_CPU_COUNT", "")).isdecimal():
        found.append(int(asked))
    return max(1, int(min(found)))


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
    installed = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            installed[package] = "none"
    return installed


def code_digest(*rooms: str) -> str:
    """Of this project's code, in these of its top folders."""
    top, code = Path(__file__).parents[2], hashlib.sha256()
    for room in rooms:
        for file in sorted((top / room).rglob("[!.]*.py")):  # an editor's locks begin with a dot
            if file.is_file():
                code.update(file.relative_to(top).as_posix().encode() + file.read_bytes())
    return code.hexdigest()


@cache
def commit() -> str | None:
    """The git commit of this code, with `+` if its Python differs in the working tree; None outside
    git. A report that is tracked, and grows while a run lives, is no other code."""
    here = Path(__file__).parents[2]

    def ask(*question: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", *question], cwd=here, capture_output=True, text=True, timeout=30, check=False
        )

    try:
        found = ask("rev-parse", "--short=12", "HEAD").stdout.strip()
        differs = bool(found) and ask("diff", "--quiet", "HEAD", "--", "*.py").returncode == 1
    except OSError:
        return None
    return f"{found}{'+' if differs else ''}" or None


def _system() -> str:
    try:
        release = platform.freedesktop_os_release()
    except OSError:
        return f"{platform.system()} {platform.release()}"
    return f"{release['NAME']} {release.get('VERSION_ID', '')}".strip()


def _cpu_info(*names: str) -> str:
    """The first value of one of these fields in /proc/cpuinfo, or an empty string."""
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""
    match = re.search(rf"^(?:{'|'.join(names)})\s*:(.*)", told, re.MULTILINE)
    return match[1].strip() if match else ""
