"""What a job died of, read from its log."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.execution.engines.crash import Try, cause, heading

SITE = "/home/me/.venv/lib/python3.11/site-packages"
ABORT = f"""\
Fatal Python error: Aborted

Thread 0x00007f01 (most recent call first):
  File "/usr/lib/python3.11/threading.py", line 331 in wait

Current thread 0x00007f02 (most recent call first):
  File "{SITE}/torch/nn/functional.py", line 10 in conv2d
  File "{SITE}/timm/layers/std_conv.py", line 70 in forward
  File "{SITE}/torch/nn/modules/module.py", line 1775 in _call_impl
"""
BACKWARD = f"""\
Fatal Python error: Fatal Python error: Segmentation fault

Current thread 0x00007f02 (most recent call first):
  File "/home/timm/work/layer.py", line 1 in called_by_a_hook
  File "{SITE}/torch/autograd/graph.py", line 1072 in _engine_run_backward
  File "{SITE}/timm/models/repvgg.py", line 1 in unrelated

Thread 0x00007f03 (most recent call first):
  File "{SITE}/torchvision/transforms/functional.py", line 1 in resize
"""
NOT_PYTHONS = ABORT.replace("Current thread", "Thread")
TRY_AVX = "; ONEDNN_MAX_CPU_ISA=AVX may avoid it ("


@pytest.mark.parametrize(
    ("device", "crash", "by", "told"),
    [
        ("A CPU (AVX2)", ABORT, "SIGABRT", f"SIGABRT in timm.layers.std_conv on {{}}{TRY_AVX}"),
        ("A CPU (AVX2)", ABORT, "", f"SIGABRT in timm.layers.std_conv on {{}}{TRY_AVX}"),
        ("A CPU (AVX2)", NOT_PYTHONS, "", f"SIGABRT in timm.layers.std_conv on {{}}{TRY_AVX}"),
        ("A CPU (AVX2)", ABORT + BACKWARD, "", f"SIGSEGV in a backward pass on {{}}{TRY_AVX}"),
        ("A CPU (AVX2, ATen AVX512)", BACKWARD, "", f"SIGSEGV in a backward pass on {{}}{TRY_AVX}"),
        ("A CPU (AVX2)", "", "SIGILL", f"SIGILL on {{}}{TRY_AVX}"),
        ("A CPU (AVX2)", "", "SIGBUS", "SIGBUS on {}"),
        ("GPU 0", BACKWARD, "SIGSEGV", "SIGSEGV in a backward pass on {}"),
        ("an ARM", BACKWARD, "SIGSEGV", "SIGSEGV in a backward pass on {}"),
        ("A CPU (SSE41)", BACKWARD, "SIGSEGV", "SIGSEGV in a backward pass on {}"),
        ("A CPU (AVX2)", "", "SIGKILL", "SIGKILL, perhaps for want of memory"),
        ("A CPU (AVX2)", BACKWARD, "SIGXCPU", "SIGXCPU"),
    ],
)
def test_how_a_process_ended(device: str, crash: str, by: str, told: str) -> None:
    expected = f"its process was ended by {told.format(device)}"
    found = cause(f"{heading(device, 1)}\nsome output\n{crash}", by)
    assert found.startswith(expected) if TRY_AVX in told else found == expected


def test_a_log_that_does_not_tell() -> None:
    assert cause("on A CPU (AVX2), 1 thread(s)\nkilled without a word") == ""


def test_a_try_is_not_taken_for_an_earlier_one(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    first = Try.beginning(log)
    assert first.said() == "", "nothing was written"
    log.write_text(ABORT)
    second = Try.beginning(log)
    with log.open("a") as file:
        file.write("killed without a word")
    assert "Aborted" in first.said() and second.said() == "killed without a word"
    assert Try.beginning(tmp_path / "a file" / "log.txt").said() == ""


def test_of_a_long_log_the_beginning_and_the_end_are_read(tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    with log.open("w") as file:
        file.write(f"{heading('A CPU (AVX2)', 1)}\n")
        file.seek(2**31)  # sparse
        file.write(f"\n{BACKWARD}")
    told = cause(Try(log, 0).said())
    assert told.startswith("its process was ended by SIGSEGV in a backward pass on A CPU (AVX2)")
