"""What the operating system refuses is told in one line with advice that helps, and a program's mistake is not."""

import errno
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness import files, os_errors
from harness.cli import run
from harness.errors import StoreError, UsageError
from harness.os_errors import KINDS, explained, explained_to_user, explaining, is_of_the_place

AGAIN = "run the same command again"
PASSES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)


@pytest.mark.parametrize("number", sorted(KINDS), ids=lambda number: errno.errorcode[number])
def test_every_kind_is_one_line_with_its_place_its_reason_and_its_own_advice(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a b" / "x.json"
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1024, resource.RLIM_INFINITY))
    with pytest.raises((StoreError, UsageError)) as told, explaining(path):
        raise OSError(number, os.strerror(number), str(path))
    said = str(told.value)
    assert said.startswith(f"{path}: {os.strerror(number)}; ") and "\n" not in said
    assert (AGAIN in said) == (number in PASSES)  # only where that can help
    assert told.value.exit_code == (2 if number in os_errors.ABOUT_A_NAME else 4)


@pytest.mark.parametrize(
    "name", ["EUCLEAN", "EREMOTEIO", "ENODEV", "ENXIO", "EBUSY", "EOVERFLOW", "EBADMSG", "EINVAL"]
)
def test_a_kind_that_nobody_has_listed_is_one_line_too(name: str, tmp_path: Path) -> None:
    """Of a damaged file system, an unplugged disk, a mount of other software: each has its own numbers."""
    refused = OSError(getattr(errno, name), os.strerror(getattr(errno, name)))
    refusal = "; the file system refuses; look into the system's log"
    with pytest.raises(StoreError, match=refusal) as told, explaining(tmp_path / "x"):
        raise refused
    assert str(told.value).startswith(f"{tmp_path / 'x'}: {refused.strerror}; ")
    assert is_of_the_place(refused) == (name != "EINVAL")
    assert (explained_to_user(refused, ["status"]) is None) == (name == "EINVAL")


@pytest.mark.parametrize("name", ["ENOENT", "EEXIST", "EBADF", "EPIPE", "ECONNREFUSED", "ETIMEDOUT"])
def test_what_befalls_a_program_or_a_network_is_not_of_the_place(name: str, tmp_path: Path) -> None:
    error = OSError(getattr(errno, name), os.strerror(getattr(errno, name)))
    assert explained(error, tmp_path) is None and not is_of_the_place(error)


INFINITE = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("number", "limits", "advice"),
    [
        (errno.EMFILE, (1024, INFINITE), f"raise the limit of open files (ulimit -n 4096) and {AGAIN}"),
        (errno.EMFILE, (20000, INFINITE), f"raise the limit of open files (ulimit -n 80000) and {AGAIN}"),
        (errno.EMFILE, (256, 2000), f"raise the limit of open files (ulimit -n 2000) and {AGAIN}"),
        (errno.EMFILE, (2000, 2000), "the limit of open files is 2,000 for you; ask for a higher one (ulimit -Hn)"),
        (errno.EFBIG, (1024, INFINITE), f"raise the limit of a file's size (ulimit -f unlimited) and {AGAIN}"),
        (errno.EFBIG, (1024, 8192), f"raise the limit of a file's size (ulimit -f 8) and {AGAIN}"),
        (errno.EFBIG, (INFINITE, INFINITE), "nothing larger can be kept there; choose another place"),
    ],
)  # fmt: skip
def test_a_limit_is_told_as_far_as_it_may_be_raised(
    number: int, limits: tuple[int, int], advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    assert str(explained(OSError(number, "refused"))) == f"refused; {advice}"


def test_the_kinds_have_different_advice() -> None:
    by_advice: dict[str, set[int]] = {}
    for number, kind in KINDS.items():
        by_advice.setdefault(kind.advice, set()).add(number)
    assert {frozenset(same) for same in by_advice.values() if len(same) > 1} == {
        frozenset({errno.EACCES, errno.EPERM})
    }


def test_a_disk_without_inodes_is_told_from_a_full_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    left = SimpleNamespace(f_bavail=0, f_frsize=4096, f_files=1000, f_favail=0)
    monkeypatch.setattr(os_errors.os, "statvfs", lambda _: left)
    assert "No space left on device: 100 bytes needed, 0 free; make room" in str(
        explained(full, tmp_path / "x", needed=100)
    )
    left.f_bavail = 5
    assert "no inode left; 20,480 bytes are free, but" in str(explained(full, tmp_path / "x", needed=100))
    left.f_favail = 7
    assert "No space left on device" in str(explained(full, tmp_path / "x"))
    left.f_files, left.f_favail = 0, 0  # a file system that does not count them
    assert "No space left on device" in str(explained(full, tmp_path / "x"))


def test_the_file_is_named_that_is_taken_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match=rf"{tmp_path / 'file'} is not a folder"):
        files.write_file(tmp_path / "file" / "below" / "x.json", b"")


def test_a_mistake_of_the_program_stays_one(tmp_path: Path) -> None:
    absent = FileNotFoundError(errno.ENOENT, "No such file or directory", str(tmp_path / "made up"))
    assert explained(absent, tmp_path) is None
    assert explained_to_user(absent, ["status", "made up"]) is None
    assert explained_to_user(OSError("no number at all"), ["status"]) is None
    is_folder = IsADirectoryError(errno.EISDIR, "Is a directory", str(tmp_path / "made up"))
    assert explained_to_user(is_folder, ["status"]) is None
    with pytest.raises(FileNotFoundError), explaining(tmp_path):
        raise absent


@pytest.mark.parametrize("word", ["{}", "{}/made up", "--output={}/made up", "{}/made up/below"])
def test_a_path_that_the_user_named_is_the_users(word: str, tmp_path: Path) -> None:
    absent = FileNotFoundError(errno.ENOENT, "No such file or directory", str(tmp_path / "made up"))
    told = explained_to_user(absent, ["status", word.format(tmp_path)])
    assert isinstance(told, UsageError) and "there is no such file or folder" in str(told)


def test_without_a_place_for_temporary_files_one_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere/at all"])
    with pytest.raises(FileNotFoundError) as raised:
        tempfile.mkdtemp()
    told = explained_to_user(raised.value, [])
    assert isinstance(told, StoreError) and "set TMPDIR to a folder that can be written to" in str(told)


def test_an_unreadable_record_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files.write_json(tmp_path / "a.json", {"x": 1})
    for number, kind in (
        (errno.EACCES, StoreError),
        (errno.EMFILE, StoreError),
        (errno.ENODEV, StoreError),
        (errno.EUCLEAN, files.RecordError),
        (errno.EIO, files.RecordError),
    ):

        def refuse(_path: Path, number: int = number) -> bytes:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(kind, match=os.strerror(number)):
            files.read_json(tmp_path / "a.json")


def limited(code: str, limit: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run Python code in a process with a limit that a shell sets, e.g. `-f 1`: files of 1 KiB."""
    return subprocess.run(
        ["bash", "-c", f'ulimit {limit}; exec "$@"', "x", sys.executable, "-c", code],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_limit_of_file_sizes_is_an_error_and_no_signal(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from harness.errors import StoreError; from harness.files import write_file\n"
        "write_file(Path('small'), b'x')\n"
        "try: write_file(Path('small'), bytes(5000))\n"
        "except StoreError as error: print(error)"
    )
    done = limited(code, "-Sf 1", tmp_path)
    assert done.stdout.strip() == (
        "small: File too large; raise the limit of a file's size (ulimit -f unlimited) and run the same command again"
    ), done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["small"] and (
        tmp_path / "small"
    ).read_bytes() == b"x"


def test_too_many_open_files_make_no_record_damaged(tmp_path: Path) -> None:
    """Else a fold would be thrown away and trained again."""
    code = (
        "import os; from pathlib import Path; from harness.errors import StoreError\n"
        "from harness.files import read_json, write_json\n"
        "write_json(Path('a.json'), {'x': 1})\n"
        "taken = []\n"
        "try:\n"
        "    while True: taken.append(os.open('.', os.O_RDONLY))\n"
        "except OSError: pass\n"
        "try: read_json(Path('a.json'))\n"
        "except StoreError as error: print(error)"
    )
    done = limited(code, "-Sn 32", tmp_path)
    advice = r"raise the limit of open files \(ulimit (-n \d+)\) and run the same command again"
    told = re.fullmatch(rf"a.json: Too many open files; {advice}", done.stdout.strip())
    assert told, done.stderr
    assert (
        limited(
            code.partition("taken")[0] + "print(read_json(Path('a.json')))",
            f"-Sn 32; ulimit {told[1]}",
            tmp_path,
        ).stdout
        == "{'x': 1}\n"
    )


def test_a_full_disk_behind_stdout_is_one_line(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full, as Linux has it")
    done = subprocess.run(
        ["bash", "-c", 'exec "$@" > /dev/full', "x", sys.executable, "-m", "harness", "list", "metrics"],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4
    assert done.stderr == "harness: No space left on device; make room and run the same command again\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["status"],
        ["report", "x"],
        ["tune", "--study", "smoke"],
        ["sync"],
        ["gc"],
        ["doctor"],
        ["bundle", "x"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_a_home_that_can_be_none_is_wrong_usage(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("x")
    for home in (tmp_path / "file", tmp_path / "file" / "below" / "it"):
        assert run([*arguments, "--home", str(home)]) == 2
        said = capsys.readouterr()
        assert said.err == f"harness: --home {home}: {tmp_path / 'file'} is a file, not a folder\n"
        assert said.out == ""


def test_a_home_that_is_not_there_is_told_with_the_nearest_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlruns" / "studies").mkdir(parents=True)
    (tmp_path / "mlrunz").mkdir()  # no store
    home = tmp_path / "mlrun"
    guess = f"did you mean --home {tmp_path / 'mlruns'}"
    expected = f"nothing has been started in {home}, for there is no such folder; {guess}"
    assert run(["status", "--home", str(home)]) == 0
    assert expected in capsys.readouterr().out
    for arguments in (["status", "x"], ["report", "x"], ["reproduce", "x"], ["bundle", "x"]):
        assert run([*arguments, "--home", str(home)]) == 2
        said = capsys.readouterr().err
        assert said == f"harness: no study 'x' in {home}, for there is no such folder; {guess}?\n"
    assert run(["status", "x", "--home", str(tmp_path / "elsewhere" / "a")]) == 2
    assert (
        "no such folder; go to your project's folder, or name its store with --home"
        in capsys.readouterr().err
    )
    assert not home.exists()  # looking makes none


def test_the_doctor_says_that_a_store_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_folder: Path) -> object:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    assert run(["doctor", "--home", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "cannot be read" in said and f"{tmp_path / 'studies'}: Permission denied; run as the user" in said
