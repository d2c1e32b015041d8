"""What a job died of, by its log: where the crash was and what may help."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_SIGNALS = {
    "Segmentation fault": "SIGSEGV",
    "Aborted": "SIGABRT",
    "Bus error": "SIGBUS",
    "Illegal instruction": "SIGILL",
    "Floating point exception": "SIGFPE",
}
"""faulthandler's words for the signals of a crash."""
_OLDER = {"AVX512_FP16": "AVX2", "AVX512": "AVX2", "AVX2": "AVX", "AVX": "SSE41"}
"""The instruction set to try where one crashes."""
_LAYER = re.compile(r'File ".*?((?:torch/nn/modules|torchvision|timm)/[\w/]+)\.py"')
_NO_LAYERS = ("torch/nn/modules/module", "torch/nn/modules/container")
_BACKWARD = "_engine_run_backward"


@dataclass(frozen=True)
class Try:
    """What one try of a job writes into the log that all its tries share."""

    log: Path
    start: int
    """Bytes that are there before."""

    @classmethod
    def beginning(cls, log: Path) -> Try:
        return cls(log, log.stat().st_size if log.exists() else 0)

    def said(self) -> str:
        try:
            return self.log.read_bytes()[self.start :].decode(errors="replace")
        except OSError:
            return ""


def headed(device: str, threads: int) -> str:
    """The line that each try begins with."""
    return f"on {device}, {threads} thread(s)"


def cause(said: str, by: str = "") -> str:
    """How a job's process ended, in words, by what it said; empty if that does not tell.

    `by`: the signal, where the system knows it.
    """
    fatal = re.search(f"Fatal Python error: .*?({'|'.join(_SIGNALS)})", said)
    name = by or (_SIGNALS[fatal[1]] if fatal else "")
    if not name:
        return ""
    ended = f"its process was ended by {name}"
    if name == "SIGKILL":
        return f"{ended}, perhaps for want of memory"
    if name not in _SIGNALS.values():
        return ended
    where = _where(said[fatal.end() :]) if fatal else ""
    return f"{ended}{where}{_advice(said)}"


def _where(stack: str) -> str:
    """The kind of layer whose forward pass crashed. A backward pass shows none: torch walks it
    without Python."""
    for line in stack.splitlines():
        layer = _LAYER.search(line)
        if _BACKWARD in line:
            return " in a backward pass"
        if layer and not layer[1].startswith(_NO_LAYERS):
            return f" in {layer[1].replace('/', '.')}"
    return ""


def _advice(said: str) -> str:
    headers = re.findall(r"^on (.+), \d+ thread\(s\)$", said, re.MULTILINE)
    if not headers:
        return ""
    instructions = re.search(r"\((SSE41|AVX\w*)(, ATen \w+)?\)$", headers[-1])
    older = _OLDER.get(instructions[1]) if instructions else None
    if older is None:
        return f" on {headers[-1]}"
    return (
        f" on {headers[-1]}; should it happen again, try ONEDNN_MAX_CPU_ISA={older} "
        "(older instructions: slower, and other last digits)"
    )
