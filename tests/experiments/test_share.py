"""--archive and --verify FILE: a store of an older commit goes out and is found whole; what is
damaged, forged or harmful is named, with exit code 1."""

from __future__ import annotations

import json
import re
import shutil
import stat
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import runner
from classifier.inference import metrics
from experiments.share.archive import Manifest
from experiments.share.sealed import MANIFEST, SEALED, Content, member, seal, unseal

STORED = Path(__file__).parents[1] / "reports" / "stored"
TABLE = "reports/stored/all.md"


def copy_of_store(folder: Path) -> Path:
    """The fixture, with checkpoints of which a report asks only whether they are there."""
    shutil.copytree(STORED, folder)
    for unit in folder.glob("runs/*/train-*"):
        (unit / "best.safetensors").write_bytes(b"weights")
    return folder


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_of_store(tmp_path_factory.mktemp("share") / "stored")
    for unit in folder.glob("runs/*/evaluate-*"):
        _add_predictions(unit)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert runner.main(["stored.yaml", "--archive", "stored.zip"]) == 3
    return folder


def _add_predictions(unit: Path) -> None:
    """Some that give its record's accuracy; its mpa is theirs then."""
    record = json.loads((unit / "record.json").read_text())
    labels = np.arange(record["images"]) % record["data"]["classes"]
    answers = labels.copy()
    wrong = round((1 - record["accuracy"]) * record["images"])
    answers[:wrong] = (answers[:wrong] + 1) % record["data"]["classes"]
    record["mpa"] = metrics.mpa(answers, labels)
    (unit / "record.json").write_text(json.dumps(record))
    np.savez(
        unit / "predictions.npz",
        logits=np.eye(record["data"]["classes"], dtype=np.float32)[answers],
        labels=labels,
        paths=np.array([f"{i}.png" for i in range(len(labels))]),
    )


@pytest.fixture
def archive(here: Path) -> Path:
    return here / "stored.zip"


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No store, no matrix and no data are near."""
    monkeypatch.chdir(tmp_path)


def verified(file: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    capsys.readouterr()
    code = runner.main(["--verify", str(file)])
    said = capsys.readouterr()
    assert not said.err
    return code, said.out


def resealed(archive: Path, changes: Mapping[str, bytes | None], file: Path) -> Path:
    """As somebody would who wants it to be believed: with other members, and hashes that fit."""
    with zipfile.ZipFile(archive) as opened:
        contents: dict[str, Content] = {n: opened.read(n) for n in opened.namelist()}
    manifest = Manifest.model_validate_json(contents.pop(MANIFEST))  # type: ignore[arg-type]
    contents |= {name: content for name, content in changes.items() if content is not None}
    for name in (name for name, content in changes.items() if content is None):
        del contents[name]
    members = {name: member(content) for name, content in contents.items()}
    seal(file, manifest.model_copy(update={"members": members}), contents)
    return file


def members(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_it_is_the_same_by_whatever_call(
    here: Path, archive: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page's own call holds no path of this machine's, and each can verify it."""
    was = members(archive)
    file = Path("other.zip").absolute()
    for program in ("/elsewhere/runner.py", "/usr/bin/ablate"):
        with monkeypatch.context() as patch:
            patch.chdir(here)
            patch.setattr("sys.argv", [program])
            assert runner.main(["stored.yaml", "--archive", str(file)]) == 3
        assert members(file) == was
        code, said = verified(file, capsys)
        assert code == 0 and "to the byte" in said


def test_an_archive_is_whole(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = verified(archive, capsys)
    assert (code, said) == (
        0,
        f"{archive} is whole: 28 records, and they give its report to the byte\n",
    )


def test_it_holds_what_the_report_rests_on(here: Path, archive: Path) -> None:
    """Records to the byte, and the report as a runner writes it but for its date."""
    held = members(archive)
    records = {name for name in held if name.endswith("/record.json")}
    assert len(records) == 28
    for name in records:
        assert held[name] == (here / name).read_bytes()
        if (here / name).with_name("predictions.npz").exists():
            name = name.replace("record.json", "predictions.npz")
            assert held[name] == (here / name).read_bytes()
    assert held["matrices/stored/stored/stored.yaml"] == (STORED / "stored.yaml").read_bytes()
    published = "published/stored.csv"
    assert held[f"matrices/stored/stored/{published}"] == (STORED / published).read_bytes()
    runs, reports = str(here / "runs"), "reports"
    options = ["--no-images", "--runs", runs, "--reports", reports]
    assert runner.main([str(here / "stored.yaml"), "--report", *options]) == 3
    for file in Path(reports, "stored").iterdir():
        if file.name != "index.html":
            assert held[f"reports/stored/{file.name}"] == file.read_bytes(), file.name
    page = held["reports/stored/index.html"]
    assert b"Made on" not in page and b"data:image/jpeg" not in page
    assert not [name for name in held if name.endswith(".safetensors")]
    assert str(here).encode() not in b"".join(held.values())


def test_the_same_store_gives_the_same_bytes(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Wherever it lies, whenever it was written, in whichever order its folder lists it."""
    other = tmp_path / "stored"
    shutil.copytree(archive.parent, other, copy_function=shutil.copy)
    (other / "stored.zip").unlink()
    before = {file: file.stat().st_mtime_ns for file in other.rglob("*")}
    options = ["--runs", str(other / "runs"), "--archive", "again.zip"]
    assert runner.main([str(other / "stored.yaml"), *options]) == 3
    assert Path("again.zip").read_bytes() == archive.read_bytes()
    assert stat.S_IMODE(Path("again.zip").stat().st_mode) == 0o644
    assert before == {file: file.stat().st_mtime_ns for file in other.rglob("*")}
    said = capsys.readouterr().out
    assert "28 records, 69 files" not in said  # this one has predictions
    assert re.search(r"left out: 11 checkpoints, 0\.0 MB", said)
    assert runner.main([str(other / "stored.yaml"), *options]) == 3  # the same once more


def test_several_matrices_and_overrides(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    both = [str(here / "stored.yaml"), str(here / "runs.yaml")]
    options = ["--runs", str(here / "runs"), "--seeds", "0", "--archive", "both.zip"]
    assert runner.main([*both, *options]) == 3
    assert verified(Path("both.zip"), capsys)[0] == 0
    names = {name.split("/")[1] for name in members(Path("both.zip")) if "reports/" in name}
    assert {name.partition("+")[0] for name in names} == {"stored", "runs"}
    assert all("+" in name for name in names)


def test_another_file_is_not_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.zip").write_text("mine")
    options = ["--runs", str(here / "runs"), "--archive"]
    assert runner.main([str(here / "stored.yaml"), *options, "mine.zip"]) == 2
    assert "mine.zip is there already, and is another" in capsys.readouterr().err
    assert Path("mine.zip").read_text() == "mine"
    assert runner.main([str(here / "stored.yaml"), *options, "away/m.zip"]) == 2
    assert "error: away/m.zip can't be written: No such file" in capsys.readouterr().err
    Path("folder").mkdir()
    assert runner.main([str(here / "stored.yaml"), *options, "folder"]) == 2
    assert runner.main([str(here / "stored.yaml"), *options, "m.tar.gz"]) == 2
    assert "--archive m.tar.gz: it writes a zip file" in capsys.readouterr().err
    assert sorted(each.name for each in Path().iterdir()) == ["folder", "mine.zip"]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**9), bit=st.integers(0, 7))
@example(place=0, bit=0)
@example(place=10**9, bit=0)
def test_any_changed_bit_is_seen(
    archive: Path, place: int, bit: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """No byte is without meaning: the seal is of all before it."""
    content = bytearray(archive.read_bytes())
    place = min(place % len(content) if place < 10**9 else len(content) - 1, len(content) - 1)
    content[place] ^= 1 << bit
    Path("changed.zip").write_bytes(content)
    code, said = verified(Path("changed.zip"), capsys)
    assert code == 1
    assert re.search(r"changed|is no archive|manifest\.json", said)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**9))
@example(place=-1)
@example(place=-SEALED)
@example(place=-SEALED - 1)
def test_any_part_of_it_is_seen(
    archive: Path, place: int, capsys: pytest.CaptureFixture[str]
) -> None:
    content = archive.read_bytes()
    Path("part.zip").write_bytes(content[: place % len(content)])
    code, said = verified(Path("part.zip"), capsys)
    # zipfile reads one of whose seal, the comment at its end, a part is there.
    cut = place % len(content) >= len(content) - SEALED
    how = "its bytes are not those that were written" if cut else "is no archive, or a part of one"
    assert code == 1 and how in said


def test_what_is_appended_is_seen(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for before, after in ((b"#!/bin/sh\n", b""), (b"", b"x")):
        Path("more.zip").write_bytes(before + archive.read_bytes() + after)
        assert verified(Path("more.zip"), capsys)[0] == 1


def test_a_changed_member_is_named(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By a program that knows nothing of seals."""
    held = members(archive)
    with zipfile.ZipFile("changed.zip", "w") as made:
        for name, content in held.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = 0o100644 << 16
            made.writestr(info, content.replace(b"0", b"1") if name == TABLE else content)
        made.comment = b"x" * SEALED
    code, said = verified(Path("changed.zip"), capsys)
    assert code == 1
    assert f"{TABLE} is not what was sealed: its SHA-256 is another" in said
    assert said.splitlines()[-1] == "2 damaged"


A_RECORD = "runs/ghostnet-s0-d560cdbc2932/evaluate-raw-val-fp32-97b43f875032/record.json"
PREDICTED = A_RECORD.replace("record.json", "predictions.npz")


def _edited(content: bytes, *keys: str, to: object) -> bytes:
    record = json.loads(content)
    inner = record
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = to
    return json.dumps(record).encode()


def test_forgeries_are_named(
    archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With hashes that fit: a figure must follow from records, and a record be of its settings."""
    held = members(archive)
    record = held[A_RECORD]
    cases: dict[str, tuple[dict[str, bytes | None], str]] = {
        "a table": ({TABLE: held[TABLE] + b"x"}, f"{TABLE} is not what its records give"),
        "the page": (
            {"reports/stored/index.html": b"<p>all is well"},
            "reports/stored/index.html is not what its records give",
        ),
        "an accuracy": (
            {A_RECORD: _edited(record, "accuracy", to=0.75)},
            f"{PREDICTED} gives accuracy ",
        ),
        "an mpa": ({A_RECORD: _edited(record, "mpa", to=0.75)}, f"{PREDICTED} gives mpa "),
        "a number of images": (
            {A_RECORD: _edited(record, "images", to=7)},
            f"{PREDICTED} gives images ",
        ),
        "a setting": (
            {A_RECORD: _edited(record, "training", "lr", to=0.5)},
            f"{A_RECORD} is damaged or of another version",
        ),
        "a part": (
            {A_RECORD: _edited(record, "spec", "split", to="test")},
            f"{A_RECORD} is not what its name and settings say",
        ),
        "a field of another version": (
            {A_RECORD: _edited(record, "novelty", to=1)},
            f"{A_RECORD} is damaged or of another version (Extra inputs",
        ),
        "other weights": (
            {A_RECORD: _edited(record, "checkpoint", to="0" * 16)},
            f"{A_RECORD} is not of the training in the archive",
        ),
        "other data": (
            {A_RECORD: _edited(record, "data", "fingerprint", to="0" * 16)},
            f"{A_RECORD} is of other data than its training",
        ),
        "no JSON": ({A_RECORD: b"{"}, f"{A_RECORD} is damaged or of another version"),
        "a lost record": ({A_RECORD: None}, "record.json is missing"),
        "a lost run": (
            {name: None for name in held if name.startswith(A_RECORD.split("/evaluate")[0])},
            "is not what its records give",
        ),
        "a moved run": (
            {n.replace("d560cdbc2932", "000000000000"): held[n] for n in (A_RECORD, PREDICTED)},
            "lies in the folder of another run",
        ),
        "a lost table": ({TABLE: None}, f"{TABLE} is missing"),
        "a table more": ({"reports/stored/b.md": b"x"}, "reports/stored/b.md is of no matrix"),
        "a matrix": (
            {"matrices/stored/stored/stored.yaml": b"title: [\n"},
            "its report can't be made anew: matrices/stored/stored/stored.yaml:",
        ),
        "predictions": ({PREDICTED: b"PK"}, "can't be read"),
        "lost predictions": ({PREDICTED: None}, f"{PREDICTED} is missing"),
    }
    for name, (changes, expected) in cases.items():
        file = resealed(archive, changes, tmp_path / f"{name}.zip")
        code, said = verified(file, capsys)
        assert code == 1, name
        assert expected in said, f"{name}: {said}"
        assert "/tmp" not in said.replace(str(file), ""), said


@pytest.mark.parametrize("file", ["{}/mine.yaml", "../mine.yaml", "matrices/none.yaml"])
def test_a_matrix_outside_is_not_read(
    file: str, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever a manifest with hashes that fit says."""
    (tmp_path / "mine.yaml").write_text("title: [\n")
    held: dict[str, Content] = dict(members(archive))
    told = json.loads(held.pop(MANIFEST))  # type: ignore[arg-type]
    told["matrices"][0]["file"] = file.format(tmp_path)
    seal(Path("outside.zip"), Manifest.model_validate(told), held)
    code, said = verified(Path("outside.zip"), capsys)
    assert code == 1 and "which is no member of the archive" in said


def test_a_matrix_is_named_once(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held: dict[str, Content] = dict(members(archive))
    told = json.loads(held.pop(MANIFEST))  # type: ignore[arg-type]
    told["matrices"] *= 2
    seal(Path("twice.zip"), Manifest.model_validate(told), held)
    code, said = verified(Path("twice.zip"), capsys)
    assert code == 1 and "the manifest names the matrix 'stored' twice" in said


def of_others(archive: Path, changes: Mapping[str, bytes], file: str, name: str = "numpy") -> Path:
    """Sealed by somebody who says that another version made it: for a forger nothing is easier."""
    held: dict[str, Content] = dict(members(archive))
    told = json.loads(held.pop(MANIFEST))  # type: ignore[arg-type]
    told["made_with"][name] = "1.0"
    held |= changes
    told["members"] = {name: member(each).model_dump() for name, each in held.items()}
    seal(Path(file), Manifest.model_validate(told), held)
    return Path(file)


@pytest.mark.parametrize("name", ["commit", "numpy"])
def test_another_version_that_gives_the_same_bytes_is_no_weaker(
    name: str, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = verified(of_others(archive, {}, "older.zip", name), capsys)
    assert code == 0 and said.endswith("they give its report to the byte\n")


def _changed(archive: Path, file: str, *, was: str, to: str) -> dict[str, bytes]:
    """A file of the report with another text, once."""
    name = f"reports/stored/{file}"
    text = members(archive)[name].decode()
    changed = re.sub(was, to, text, count=1)
    assert changed != text
    return {name: changed.encode()}


def test_of_another_version_words_and_plots_are_said_to_be_left_out(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its figures were compared, and its numbers may differ as two versions of numpy do."""
    other = (
        _changed(archive, "report.md", was="Environment", to="Where it ran")
        | _changed(archive, "index.html", was="Environment", to="Where it ran")
        | _changed(archive, "seeds-all.svg", was="<path", to="<path x='1'")
        | _changed(archive, "verdicts.json", was=r"(0\.\d{15})\d", to=r"\g<1>")
    )
    code, said = verified(of_others(archive, other, "older.zip"), capsys)
    assert code == 0
    *left_out, last = said.splitlines()
    assert left_out == [
        "not compared: reports/stored/index.html: its words, plots, script and what shows on hover",
        "not compared: reports/stored/report.md: its words",
        "not compared: reports/stored/seeds-all.svg: the plot",
    ]
    assert re.search(r"in every figure and verdict; that is weaker .+: numpy 1\.0 \(here ", last)


@pytest.mark.parametrize(
    ("file", "was", "to"),
    [
        ("report.md", r"0\.\d{5}", "0.12345"),
        ("report.md", "can't tell", "better"),
        ("report.md", r"(0\.\d{5})", "\N{MINUS SIGN}\\1"),
        ("report.md", r"(0\.\d{5})", "\N{EN DASH}\\1"),
        ("report.md", r"(0\.\d{5})", "\\1\N{SUPERSCRIPT NINE}"),
        ("index.html", r">0\.\d{5}", ">0.12345"),
        ("index.html", r">(0\.\d{5})", ">&minus;\\1"),
        ("index.html", "$", f"&#{'9' * 5_000};"),
        ("index.html", "(?s).*", "<svg" * 100_000 + "<" * 100_000),
        ("verdicts.json", r'"figure": 0\.\d+', '"figure": 0.12345'),
        ("verdicts.json", '"can\'t tell"', '"better"'),
        ("verdicts.csv", "can't tell", "better"),
        ("results.csv", r"0\.\d{4}", "0.1234"),
        ("records.json", r'"figure": 0\.\d+', '"figure": 0.12345'),
        ("all.md", r"0\.\d{5}", "0.12345"),
        ("all.md", "mobilenetv2", "resnet"),
    ],
)
def test_a_forger_who_says_another_version_is_found(
    file: str, was: str, to: str, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No figure and no verdict, in whichever file."""
    forged = of_others(archive, _changed(archive, file, was=was, to=to), "forged.zip")
    code, said = verified(forged, capsys)
    assert code == 1
    assert said.splitlines()[0].endswith(f"reports/stored/{file} is not what its records give")
    assert "it says that others made it: numpy 1.0 (here " in said


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format": 2}, "Input should be 1 at format"),
        ({"matrices": []}, "Tuple should have at least 1 item"),
        ({"matrices": [], "members": {}, "data": []}, "Tuple should have at least 1 item"),
    ],
)
def test_a_manifest_that_says_nothing_or_what_is_not_known_is_a_problem(
    change: dict[str, object], problem: str, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = json.loads(members(archive)[MANIFEST])
    with zipfile.ZipFile("newer.zip", "w") as made:
        made.writestr(MANIFEST, json.dumps(told | change))
    code, said = verified(Path("newer.zip"), capsys)
    assert code == 1
    assert f"manifest.json is damaged or of another version ({problem}" in said


def test_a_link_goes_out_as_what_it_is_called(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The loader looks for what a matrix names beside the link, too."""
    (tmp_path / "desk").mkdir()
    link = tmp_path / "desk" / "linked.yaml"
    link.symlink_to(here / "stored.yaml")
    (tmp_path / "desk" / "published").mkdir()
    (tmp_path / "desk" / "table.csv").write_bytes((here / "published/stored.csv").read_bytes())
    (tmp_path / "desk" / "published" / "stored.csv").symlink_to("../table.csv")
    options = ["--runs", str(here / "runs"), "--archive", "linked.zip"]
    assert runner.main([str(link), *options]) == 3
    code, said = verified(Path("linked.zip"), capsys)
    assert code == 0 and "to the byte" in said
    held = members(Path("linked.zip"))
    assert held["matrices/linked/desk/linked.yaml"] == link.read_bytes()
    assert "matrices/linked/desk/published/stored.csv" in held


def test_what_is_damaged_is_not_archived(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be no archive that --verify finds whole."""
    runs = tmp_path / "runs"
    shutil.copytree(here / "runs", runs)
    (tmp_path / PREDICTED).unlink()
    options = ["--runs", str(runs), "--archive", "stored.zip"]
    assert runner.main([str(here / "stored.yaml"), *options]) == 2
    said = f"error: {tmp_path / PREDICTED} is missing; no archive of it would be whole\n"
    assert capsys.readouterr().err.endswith(said)
    assert not Path("stored.zip").exists()


HARMFUL = {
    "../out": "it leads out of the archive",
    "runs/../../out": "it leads out of the archive",
    "/tmp/harm/out": "it leads out of the archive",
    "runs//out": "it is no plain path",
    "runs/./out": "it is no plain path",
    "runs\\..\\out": "it is no plain path",
    "runs/": "it is no plain path",
    "runs": "it is a file and a folder",
    f"runs/{'x' * 256}": "it is too long for a file's name",
    "/".join(["x" * 200] * 11): "it is too long for a file's name",
}


@pytest.mark.parametrize("name", HARMFUL)
def test_a_harmful_name_writes_nothing(
    name: str, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _unsafe(archive, {name: b"harm"})
    into = tmp_path / "in" / "to"
    into.mkdir(parents=True)
    opened = unseal(file, Manifest, into)
    assert f"{name!r} must not be there: {HARMFUL[name]}" in opened.problems
    assert not list(into.iterdir()) and not (tmp_path / "in" / "out").exists()
    assert verified(file, capsys)[0] == 1


def test_a_link_a_device_and_a_double_write_nothing(archive: Path, tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFBLK, stat.S_IFDIR):
        opened = unseal(_unsafe(archive, {"runs/x": b"/etc/passwd"}, kind), Manifest, into)
        assert "'runs/x' must not be there: it is no plain file" in opened.problems
    with pytest.warns(UserWarning, match="Duplicate"):
        file = _unsafe(archive, {"runs/x": b"x"}, twice=True)
    problems = unseal(file, Manifest, into).problems
    assert "'runs/x' must not be there: it is there twice" in problems
    assert not list(into.iterdir())


def test_a_bomb_is_not_unpacked(archive: Path, tmp_path: Path) -> None:
    """Of what was sealed as ten bytes no more are written, whatever the zip's list says."""
    into = tmp_path / "into"
    into.mkdir()
    file = _unsafe(archive, {"runs/x": b"0" * 10**7}, said=10)
    problems = unseal(file, Manifest, into).problems
    assert "runs/x has 10,000,000 bytes, and 10 were sealed" in problems
    content = file.read_bytes()
    at = content.rindex(b"PK\x01\x02", 0, content.rindex(b"runs/x"))
    lying = content[: at + 24] + (10).to_bytes(4, "little") + content[at + 28 :]
    file.write_bytes(lying)
    problems = unseal(file, Manifest, into).problems
    assert any(problem.startswith("runs/x is") for problem in problems)
    assert not (into / "runs" / "x").exists()


def _unsafe(
    archive: Path,
    more: Mapping[str, bytes],
    kind: int = stat.S_IFREG,
    *,
    twice: bool = False,
    said: int | None = None,
) -> Path:
    """The archive with members that `seal` would not write, in its list as if they had been
    there."""
    held = members(archive)
    told = json.loads(held.pop(MANIFEST))
    for name, content in more.items():
        told["members"][name] = member(content).model_dump() | (
            {} if said is None else {"size": said}
        )
    file = Path("unsafe.zip")
    with zipfile.ZipFile(file, "w") as made:
        for name, content in {MANIFEST: json.dumps(told).encode(), **held, **more}.items():
            info = zipfile.ZipInfo("x")
            info.filename = name
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = ((kind if name in more else stat.S_IFREG) | 0o644) << 16
            made.writestr(info, content)
            if twice and name in more:
                made.writestr(info, content)
    return file


def test_no_file_is_the_users_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert runner.main(["--verify", "away.zip"]) == 2
    assert "away.zip is not there" in capsys.readouterr().err
    assert runner.main(["--verify", "."]) == 2
    assert ". is no file; name a file that --archive wrote" in capsys.readouterr().err
    Path("m.yaml").write_text("title: T\n")
    code, said = verified(Path("m.yaml"), capsys)
    assert code == 1 and "m.yaml is no archive, or a part of one" in said
    with zipfile.ZipFile("other.zip", "w") as made:
        made.writestr("a.txt", "x")
    code, said = verified(Path("other.zip"), capsys)
    assert code == 1 and "manifest.json is missing: it is no archive of this program" in said
