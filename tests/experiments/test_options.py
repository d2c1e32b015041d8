"""The options of runner.py: their groups, their examples, and which exclude each other."""

from __future__ import annotations

import argparse
import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from classifier.basics.program import called
from classifier.cli.entry import Parser
from experiments.cli import completion, options

ROOT = Path(__file__).parents[2]
ASK = "from classifier.basics.program import called\nprint(called())\n"
THINGS = [
    *("--plan", "--report", "--watch", "--published", "--try", "--schema"),
    *("--diff", "--doctor", "--status", "--verify", "--prune", "--completion"),
    *("--init", "--archive", "--reproduce"),
]
VALUES = {
    "--diff": ["a", "b"],
    "--completion": ["bash"],
    "--init": ["a.yaml"],
    "--archive": ["a.zip"],
    "--reproduce": ["a.zip"],
}


@pytest.fixture(params=["/usr/bin/ablate", "runner.py"])
def program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How it is called, and what it calls itself then."""
    monkeypatch.setattr("sys.argv", [request.param])
    monkeypatch.setenv("COLUMNS", "80")
    return "ablate" if "ablate" in request.param else "python runner.py"


def test_it_is_called_as_a_shell_finds_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, own = tmp_path / "a b", tmp_path / "own"
    for folder in (home, own):
        folder.mkdir()
    (home / "runner.py").write_text(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\n{ASK}")
    for folder, given, program in [
        (own, str(home / "runner.py"), f"python '{home}/runner.py'"),
        (own, "../a b/runner.py", "python '../a b/runner.py'"),
        (tmp_path, "a b/runner.py", "python 'a b/runner.py'"),
        *((home, each, "python runner.py") for each in ("runner.py", "./runner.py")),
        (home, str(home / "runner.py"), "python runner.py"),
        (home, "../a b/runner.py", "python runner.py"),
    ]:
        monkeypatch.setattr("sys.argv", [given])
        monkeypatch.chdir(folder)
        assert called() == options.parser().prog == program
        python = shlex.quote(sys.executable)
        again = program.replace("python", python, 1)
        ran = subprocess.run(again, shell=True, capture_output=True, text=True, check=True)
        assert ran.stdout == f"{program}\n"
    for other in ("/x/pytest", "-c", "", "/x/lib/ipykernel_launcher.py"):
        monkeypatch.setattr("sys.argv", [other])
        assert called() == "python runner.py"
    monkeypatch.setattr("sys.argv", ["../bin/ablate"])
    assert called() == "ablate"


def test_help_has_four_groups_with_examples_that_parse(program: str) -> None:
    text = options.parser().format_help()
    assert max(map(len, text.splitlines())) <= 80
    sections = re.split(r"\n\n(?=\S)", text)
    groups = {section.split()[0]: section for section in sections if "):\n" in section}
    assert list(groups) == ["run", "look", "share", "care"]
    for name, group in groups.items():
        examples = re.findall(rf"^    {re.escape(program)} (.+?)(?:  .*)?$", group, re.MULTILINE)
        assert examples, name
        own = set(re.findall(r"^  (--[\w-]+)", group, re.MULTILINE))
        used = [options.parser().parse_args(shlex.split(example)) for example in examples]
        assert all(asked.matrices or asked.one_thing in own for asked in used)
        flags = {word for example in examples for word in shlex.split(example) if word[:2] == "--"}
        assert flags & own, "an example of the group's own options"
    assert program in text.splitlines()[0]
    other = {"ablate": "runner.py", "python runner.py": "ablate"}[program]
    assert f"    {other} " not in text


def test_every_option_is_told() -> None:
    text = options.parser().format_help()
    for action in options.parser()._actions:
        assert action.help, action.dest
        assert not action.option_strings or f"\n  {action.option_strings[0]}" in text


def of_argparse(first: str, second: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What argparse itself says of two options of one exclusive group."""
    parser = Parser()
    group = parser.add_mutually_exclusive_group()
    for name in (first, second):
        group.add_argument(name, action="store_true")
    with pytest.raises(SystemExit):
        parser.parse_args([first, second])
    return capsys.readouterr().err


def test_one_thing_at_a_time_as_argparse_has_it(capsys: pytest.CaptureFixture[str]) -> None:
    given = {name: [name, *VALUES.get(name, [])] for name in THINGS}
    for first, second in itertools.permutations(THINGS, 2):
        with pytest.raises(SystemExit) as ended:
            options.parser().parse_args([*given[first], *given[second]])
        assert ended.value.code == 2
        assert capsys.readouterr().err == of_argparse(first, second, capsys)
    for name in THINGS:
        asked = vars(options.parser().parse_args(given[name] * 2))
        dest = {"--try": "trial"}.get(name, name[2:])
        on = {
            thing for thing in (*(t[2:] for t in THINGS if t != "--try"), "trial") if asked[thing]
        }
        assert on == {dest}


def test_the_things_are_all_that_there_are() -> None:
    made = [each for each in options.parser()._actions if isinstance(each, options.OneThing)]
    assert sorted(each.option_strings[0] for each in made) == sorted(THINGS)


def test_version(capsys: pytest.CaptureFixture[str], program: str) -> None:
    with pytest.raises(SystemExit) as ended:
        options.parser().parse_args(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(rf"{re.escape(program)} (unknown|\d[\w.+]*)\n", capsys.readouterr().out)


def test_of_an_empty_command_line_nothing_is_asked() -> None:
    asked: argparse.Namespace = options.parser().parse_args([])
    assert not any(getattr(asked, {"--try": "trial"}.get(name, name[2:])) for name in THINGS), (
        "each has its default"
    )


def test_a_shell_completes_options_choices_files_and_folders(tmp_path: Path) -> None:
    """Asked of bash, as it asks a completion."""
    script = completion.script(options.parser("ablate"), "bash")
    for name in ("my.yaml", "folder"):
        (tmp_path / name).touch() if "." in name else (tmp_path / name).mkdir()
    (tmp_path / "completion.bash").write_text(script)
    for typed, offered in {
        "--pl": {"--plan"},
        "--format|la": {"latex"},
        "--diff|my": {"my.yaml"},
        "m": {"my.yaml"},
        "--runs|": {"folder"},
    }.items():
        words = ["ablate", *typed.split("|")]
        ask = (
            'source ./completion.bash; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
            "$(complete -p ablate | sed 's/.*-F \\([^ ]*\\).*/\\1/') ablate \"${@: -1}\"; "
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        command = ["bash", "-c", ask, "bash", *words]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert set(ended.stdout.split()) == offered, (typed, ended.stderr)
