"""The instruction set that torch uses, found without torch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from classifier.basics import machine

VARIABLES = machine.INSTRUCTION_VARIABLES
SHOW = """
import json, os, sys
import torch  # once for all, as it takes a second: its libraries look when they first compute
from classifier.basics.machine import instruction_set
for asked in json.loads(sys.argv[1]):
    if os.fork():
        os.wait()
        continue
    os.environ.update(asked)
    found = instruction_set()
    torch.nn.Conv2d(16, 32, 3)(torch.randn(4, 16, 32, 32))
    print(f"ATen {torch.backends.cpu.get_cpu_capability()}; found {found}")
    break
"""
ONEDNN_SAYS = {
    "Intel SSE4.1": "SSE41",
    "Intel AVX": "AVX",
    "Intel AVX2": "AVX2",
    "Intel AVX-512": "AVX512",
    "Intel AVX-512 with float16": "AVX512_FP16",
    "Intel AVX10": "AVX512_FP16",
}


@pytest.mark.skipif(not machine.instruction_set(), reason="no x86 CPU")
def test_torch_says_the_same() -> None:
    """In processes of their own, as both libraries look once."""
    asked: list[dict[str, str]] = [
        {},
        {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        {"ATEN_CPU_CAPABILITY": "avx2"},
        {"ONEDNN_MAX_CPU_ISA": "avx2_vnni", "ATEN_CPU_CAPABILITY": "avx2"},
        {"DNNL_MAX_CPU_ISA": "sse41", "ATEN_CPU_CAPABILITY": "default"},
        {"ONEDNN_MAX_CPU_ISA": "all", "DNNL_MAX_CPU_ISA": "AVX", "ATEN_CPU_CAPABILITY": "AVX2"},
        {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"},
        {"ONEDNN_MAX_CPU_ISA": "AVX512"},  # not a name of oneDNN's
        {"ONEDNN_MAX_CPU_ISA": "AVX2 "},
        {"ONEDNN_MAX_CPU_ISA": "", "DNNL_MAX_CPU_ISA": "AVX2"},
    ]
    environment = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    said = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SHOW, json.dumps(asked)],
        env={**environment, "ONEDNN_VERBOSE": "1"},
        cwd=Path(__file__).parents[2],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    isas = re.findall(r"cpu,isa:(.*)", said)
    shown = re.findall(r"ATen (.*); found (.*)", said)
    seen = set()
    for given, onednn, (aten, found) in zip(asked, isas, shown, strict=True):
        used = max((name for name in ONEDNN_SAYS if onednn.startswith(name)), key=len)
        assert found.split(", ATen ")[0] == ONEDNN_SAYS[used], given
        own = found.split(", ATen ")[-1].removesuffix("_FP16")
        assert own == aten, given
        seen.add(found)
    assert {"AVX2", "SSE41, ATen DEFAULT"} <= seen


AVX2 = "sse4_1 avx avx2 fma"
AVX512 = f"{AVX2} avx512f avx512bw avx512vl avx512dq"


@pytest.mark.parametrize(
    ("flags", "asked", "found"),
    [
        (AVX512, {}, "AVX512"),
        (AVX2, {}, "AVX2"),
        (f"{AVX512} avx512_fp16", {}, "AVX512_FP16"),
        (f"{AVX512} avx512_fp16", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_BF16"}, "AVX512"),
        (AVX2, {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, "AVX2"),
        (AVX512, {"ONEDNN_MAX_CPU_ISA": "AVX2"}, "AVX2, ATen AVX512"),
        (AVX512, {"ATEN_CPU_CAPABILITY": "avx2"}, "AVX512, ATen AVX2"),
        (AVX512, {"ONEDNN_MAX_CPU_ISA": "nonsense", "DNNL_MAX_CPU_ISA": "AVX2"}, "AVX512"),
        (f"{AVX512} avx512_fp16", {"ONEDNN_MAX_CPU_ISA": "AVX512_CORE_AMX"}, "AVX512_FP16"),
        ("sse4_1 avx", {}, "AVX, ATen DEFAULT"),
        ("fp asimd sve", {}, ""),  # ARM
        ("", {}, ""),
    ],
)
def test_by_the_cpus_flags(
    flags: str, asked: dict[str, str], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in asked.items():
        monkeypatch.setenv(name, value)
    values = {"flags": flags, "model name": "AMD EPYC"}
    monkeypatch.setattr(machine, "_cpu_info", lambda *names: values.get(names[0], ""))
    assert machine.instruction_set() == found
    named = f"AMD EPYC ({found})" if found else "AMD EPYC"
    assert machine.cpu_device() == named
    assert machine.without_instructions(named) == "AMD EPYC"
    assert machine.instructions_of(named) == found.partition(",")[0]
    assert machine.Platform(named, 2, "2.14.1").instructions == found


def test_a_record_without_an_instruction_set_is_taken_at_its_word() -> None:
    assert machine.is_device("AMD EPYC", "AMD EPYC (AVX2)")
    assert machine.is_device("AMD EPYC (AVX2)", "AMD EPYC (AVX2)")
    assert not machine.is_device("AMD EPYC (AVX512)", "AMD EPYC (AVX2)")
    assert not machine.is_device("AMD EPYC (AVX2)", "AMD EPYC"), "that has no known one"
    assert machine.without_instructions("NVIDIA T4 (AVX)x") == "NVIDIA T4 (AVX)x"


@pytest.mark.parametrize("asked", [None, "1", "64"])
@pytest.mark.parametrize("pinned", [False, True])
def test_cores_are_those_that_joblib_counts(asked: str | None, pinned: bool) -> None:
    code = "import os; all = os.sched_getaffinity(0)\n"
    code += "os.sched_setaffinity(0, {min(all)})\n" if pinned else ""
    code += "import joblib; from classifier.basics.machine import cores\n"
    code += "print(cores(), joblib.cpu_count())"
    environment = {k: v for k, v in os.environ.items() if k != "LOKY_MAX_CPU_COUNT"}
    environment |= {} if asked is None else {"LOKY_MAX_CPU_COUNT": asked}
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    ours, theirs = said.stdout.split()
    assert ours == theirs and (ours == "1" or not pinned)


def test_the_code_is_its_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not what an editor puts beside them."""
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "top" / "basics" / "machine.py"))
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "a.py").write_text("a")
    first = machine.code_digest("room")
    (tmp_path / "room" / ".#a.py").symlink_to("somebody@host.1:2")
    (tmp_path / "room" / "folder.py").mkdir()
    assert machine.code_digest("room") == first
    (tmp_path / "room" / "b.py").write_text("b")
    assert machine.code_digest("room") != first
