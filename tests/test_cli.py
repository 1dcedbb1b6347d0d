"""Common behaviour of the commands: flags from the configuration, and one sentence and an exit code for every error."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest
from helpers import ROOT, exit_code, start
from hypothesis import given, settings
from hypothesis import strategies as st

from minigan import __main__ as overview
from minigan import __version__, cli, interrupt, train
from minigan.config import Config, flag
from minigan.errors import DivergenceError, FallbackWarning, InputError, MiniganError, OutputError, quoted, reason


def parser(base: Config | None = None) -> cli.Parser:
    result = cli.Parser(prog="prog")
    cli.add_settings(result, base or Config())
    return result


@pytest.mark.parametrize(
    ("error", "code", "sentence"),
    [
        (InputError("--x is wrong."), 2, "minigan: --x is wrong.\n"),
        (DivergenceError("step 3: no."), 3, "minigan: step 3: no.\n"),
        (OutputError("disk full."), 4, "minigan: disk full.\n"),
        (MiniganError("other."), 1, "minigan: other.\n"),
        (KeyboardInterrupt(), 130, "minigan: interrupted.\n"),
        (BrokenPipeError(), 0, ""),
        (MemoryError(), 2, "minigan: not enough memory; try a smaller --batch-size, --hidden or -n.\n"),
    ],
)
def test_every_error_is_one_sentence_and_an_exit_code(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, sentence: str
) -> None:
    def main(argv: Sequence[str] | None) -> int:
        raise error

    assert exit_code(main) == code
    assert capsys.readouterr() == ("", sentence)


def test_the_exit_code_of_main_is_returned() -> None:
    assert exit_code(lambda argv: len(argv or []), "a", "b") == 2


def test_a_bug_is_not_hidden() -> None:
    def main(argv: Sequence[str] | None) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cli.run(main, [])


def test_text_from_a_file_cannot_control_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    cli.say_error("a\x1b[2Jb\nc\rd\u202ee é")
    said = capsys.readouterr().err
    assert said == "minigan: a?[2Jb?c?d?e é\n".replace("?", "\N{REPLACEMENT CHARACTER}")


def test_warnings_are_printed_in_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    with cli.saying_warnings():
        warnings.warn("Mind the gap.", stacklevel=1)
        warnings.warn("And the step.", stacklevel=1)
    assert capsys.readouterr().err == "minigan: Mind the gap.\nminigan: And the step.\n"


def test_every_setting_is_a_flag_that_comes_back_as_given() -> None:
    argv, expected = [], {}
    for field in dataclasses.fields(Config):
        kind = str(field.type).removesuffix(" | None")
        if kind == "bool":
            text, value = [], True
        elif kind == "int":
            text, value = ["7"], 7
        elif kind == "float":
            text, value = ["0.25"], 0.25
        elif field.name == "objective":
            text, value = ["non-saturating"], "non-saturating"  # one that has a --label-smoothing
        elif kind == "str":
            text = value = [*field.metadata["choices"], "frechet<8" if field.name == "until" else "x"][0]
            text = [text]
        else:
            text, value = ["3", "2", "4"], (3, 2, 4)
        argv += [flag(field.name), *text]
        expected[field.name] = value
    argv += ["--objective", "minimax"]  # which takes every setting of an objective
    expected["objective"] = "minimax"
    assert cli.settings(parser().parse(argv)) == expected
    Config(**expected)


def test_only_flags_that_were_given_are_in_the_result() -> None:
    assert cli.settings(parser().parse([])) == {}
    assert cli.settings(parser().parse(["--steps", "5000"])) == {"steps": 5000}, "even where it is the default"
    assert cli.settings(parser().parse(["--no-all-data"])) == {"all_data": False}


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--step", "3"], "unknown argument --step; did you mean --steps?"),
        (["--batchsize=3"], "unknown argument --batchsize=3; did you mean --batch-size?"),
        (["--lr", "3"], "unknown argument --lr; did you mean --lr-generator and --lr-discriminator?"),
        (["--zzz"], "unknown argument --zzz; prog --help lists the flags."),
        (["stray"], "unknown argument stray; prog --help lists the flags."),
        (["--steps", "many"], "--steps: invalid int value: 'many'; prog --help lists the flags."),
        (["--steps", "1.5"], "--steps: invalid int value: '1.5'; prog --help lists the flags."),
        (["--steps"], "--steps: expected one argument; prog --help lists the flags."),
        (["--hidden"], "--hidden: expected at least one argument; prog --help lists the flags."),
    ],
)
def test_flags_that_cannot_be_read_are_refused_with_a_hint(argv: list[str], words: str) -> None:
    with pytest.raises(InputError) as caught:
        parser().parse(argv)
    assert str(caught.value) == words


@pytest.mark.parametrize("name", overview.COMMANDS)
def test_other_tools_names_for_flags_lead_to_the_commands_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other flag is suggested: neither one that the command does not have, nor one with a similar name only."""
    asked: list[cli.Parser] = []
    refuse = cli.Parser.refuse
    monkeypatch.setattr(cli.Parser, "refuse", lambda self, *given: asked.append(self) or refuse(self, *given))
    for word in {word for words in cli.SYNONYMS.values() for word in words.split() if word.startswith("--")}:
        asked.clear()
        with pytest.raises(InputError) as caught:
            importlib.import_module(f"minigan.{name}").main([word, "3"])
        if not asked:
            assert (name, word) == ("train", "--output")  # the activation of the generator's output
            continue
        known = set(asked[0]._option_string_actions)
        meant = {mine for mine, theirs in cli.SYNONYMS.items() if word in theirs.split()}
        if any(set(re.findall(r"--?[a-z-]+", mine)) <= known for mine in meant):
            (said,) = re.findall(r"did you mean (.+)\?", str(caught.value))
            assert said in meant and set(re.findall(r"--?[a-z-]+", said)) <= known
        else:
            assert str(caught.value) == f"unknown argument {word}; python -m minigan.{name} --help lists the flags."


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        ("--gpu 0", "--backend cupy"),
        ("--cuda", "--backend cupy"),
        ("--device cuda", "--backend cupy"),
        ("--device=cuda:0", "--backend cupy"),
        ("--device CPU", "--backend numpy"),
        ("--device=cpu", "--backend numpy"),
        ("--Batch_Size 8", "--batch-size"),
    ],
)
def test_a_device_in_another_tools_words(argv: str, hint: str) -> None:
    with pytest.raises(InputError, match=f"did you mean {hint}\\?"):
        parser().parse(argv.split())


def test_an_unknown_flag_is_named_before_the_suggested_one() -> None:
    with pytest.raises(InputError, match="unknown argument --output; did you mean --out?"):
        importlib.import_module("minigan.sample").main(["RUN", "--output", "a.png"])


def test_what_is_suggested_for_other_tools_words_exists() -> None:
    known = {flag(field.name) for field in dataclasses.fields(Config)} | {
        "--out",
        "--resume",
        "--quiet",
        "-n",
        "--device",
    }
    assert {word for mine in cli.SYNONYMS for word in mine.split() if word.startswith("-")} <= known


BANNER = """
================================================================
Failed to import CuPy.

If you installed CuPy via wheels, make sure that the package matches.

Original error:
  ImportError: libcudart.so.12: cannot open shared object file
================================================================
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BANNER, "ImportError: libcudart.so.12: cannot open shared object file"),
        ("PLEASE READ THIS\n\nOriginal error was: No module named 'numpy._core'\n", "No module named 'numpy._core'"),
        ("Could not load libllvmlite.so\nError was: wrong ELF class", "wrong ELF class"),
        ("-----\n\n  Numba needs NumPy 2.3 or less.\n-----", "Numba needs NumPy 2.3 or less"),
        ("first\nsecond", "first"),
        ("Original error:\n", "Original error:"),
        ("====\n\n", "ImportError"),
        ("", "ImportError"),
    ],
)
def test_a_reason_is_the_line_that_names_the_cause(text: str, words: str) -> None:
    assert reason(ImportError(text)) == words


@given(st.text(max_size=300))
def test_whatever_an_exception_says_a_reason_is_short_and_printable_on_one_line(text: str) -> None:
    found = reason(ImportError(text))
    assert 0 < len(found) <= 320 and found.isprintable()


def test_help_says_every_flag_with_its_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    base = Config(steps=1234, hidden=(9, 8))
    with pytest.raises(SystemExit) as caught:
        parser(base).parse(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    text = " ".join(text.split())
    for field in dataclasses.fields(Config):
        assert flag(field.name) in text
        assert field.metadata["help"] in text
    assert (
        "(default: 1234)" in text and "(default: 9 8)" in text and "(default: none)" in text and "(default: no)" in text
    )


def test_python_m_minigan_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in ([], ["--help"]):
        assert overview.main(argv) == 0
        out = capsys.readouterr().out
        for name in ("train", "sample"):
            assert f"python -m minigan.{name}" in out
    assert overview.main(["--version"]) == 0
    assert capsys.readouterr().out == f"minigan {__version__}\n"


@pytest.mark.parametrize("name", overview.COMMANDS)
def test_a_command_runs_by_its_name_and_says_its_version(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`minigan NAME` and `python -m minigan NAME`."""
    helps = []
    for main, argv in ((overview.main, [name]), (importlib.import_module(f"minigan.{name}").main, [])):
        for flag_ in ("--version", "--help"):
            with pytest.raises(SystemExit) as ended:
                main([*argv, flag_])
            assert ended.value.code == 0
            helps.append(capsys.readouterr().out)
    assert helps[0] == helps[2] == f"minigan {__version__}\n"
    assert helps[1] == helps[3]


def test_a_command_that_does_not_exist_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(overview.main, "trian", "--data", "ring") == 2
    assert capsys.readouterr() == ("", "minigan: there is no command 'trian'; did you mean train?\n")
    assert exit_code(overview.main, "\x1b[2J") == 2
    assert "choose one of: train, sample" in capsys.readouterr().err


def test_only_commands_that_exist_are_listed() -> None:
    text = overview.overview()
    for name in overview.COMMANDS:
        assert (f"minigan.{name}" in text) == (ROOT / "minigan" / f"{name}.py").exists()


def test_a_closed_pipe_is_not_an_error(tmp_path: Path) -> None:
    """Like `python -m minigan.train --help | head -1`."""
    process = start("minigan.train", "--help", cwd=tmp_path)
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 0
    process.stderr.close()


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_output_that_cannot_be_encoded_is_escaped() -> None:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from minigan import cli; cli.run(lambda a: print('\\udcff é') or 0, [])"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\\udcff \\xe9\n", "")


def test_warnings_of_other_kinds_are_left_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    """They keep their filters: the tests turn them into errors."""
    with cli.saying_warnings(FallbackWarning):
        warnings.warn("another way", FallbackWarning, stacklevel=1)
        with pytest.raises(DeprecationWarning):
            warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr().err == "minigan: another way\n"


# ------------------------------------------------------------------------------ environments, streams and signals


@pytest.mark.parametrize("columns", ["abc", "-5", "0", "1", "", "1e3", "9" * 5000, "80"])
def test_help_works_with_any_terminal_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit) as caught:
        parser().parse(["--help"])
    assert caught.value.code == 0 and "--seed" in capsys.readouterr().out


MODULES = ["minigan", "minigan.metrics.features", *(f"minigan.{name}" for name in overview.COMMANDS)]


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize("module", MODULES)
def test_ctrl_c_while_a_command_is_being_imported_ends_it_in_one_line(tmp_path: Path, module: str) -> None:
    """The signal arrives during the import of the first module of another package, which every command needs."""
    interrupting = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)\n"
    (tmp_path / "argparse.py").write_text(interrupting)
    for argv in (["-m", module], [f"-m{module}", "--help", "-m", "x"]):
        process = start_with(tmp_path, *argv)
        assert process.communicate(timeout=60) == ("", "minigan: interrupted.\n")
        assert process.returncode == 130


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_ctrl_c_prints_one_line_for_the_console_script_too(tmp_path: Path) -> None:
    (tmp_path / "argparse.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)\n"
    )
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "minigan"
    script.write_text("import sys\nfrom minigan.__main__ import run\nrun()\n")
    process = start_with(tmp_path, script)
    assert process.communicate(timeout=60) == ("", "minigan: interrupted.\n")
    assert process.returncode == 130


def start_with(first: Path, *argv: object) -> subprocess.Popen[str]:
    """Start Python with a directory at the beginning of its module path."""
    path = os.pathsep.join([str(first), str(ROOT)])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(
        [sys.executable, *map(str, argv)], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_importing_the_package_changes_no_signal() -> None:
    code = (
        f"import signal, sys; sys.path.insert(0, {str(ROOT)!r}); before = signal.getsignal(signal.SIGINT); "
        "import minigan.cli; assert signal.getsignal(signal.SIGINT) is before is signal.default_int_handler"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_another_program_that_imports_the_package_keeps_its_ctrl_c(tmp_path: Path) -> None:
    """Also a program that imports it while Python searches for its module."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "__init__.py").write_text("import minigan\n")
    asks = "import signal\nassert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
    (tmp_path / "theirs" / "program.py").write_text(asks)
    (tmp_path / "theirs" / "__main__.py").write_text(asks)
    for argv in (["-m", "theirs.program", "minigan"], ["-m", "theirs"], ["-mtheirs"]):
        process = start_with(tmp_path, *argv)
        assert process.communicate(timeout=60) == ("", "")
        assert process.returncode == 0


def test_ctrl_c_is_an_exception_while_a_command_runs_and_ends_the_process_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupt.guard()
        assert signal.getsignal(signal.SIGINT) is interrupt.end
        assert exit_code(lambda argv: int(signal.getsignal(signal.SIGINT) is signal.default_int_handler)) == 1
        assert signal.getsignal(signal.SIGINT) is interrupt.end
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as nohup does
        interrupt.guard()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name != "posix", reason="redirections of bash")
@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        ("| true", 0, ""),
        ("| head -1 >/dev/null", 0, ""),
        (">/dev/full", 2, "minigan: standard output: No space left on device.\n"),
        ("<&- >&- 2>&-", 0, ""),
    ],
)
@pytest.mark.parametrize(
    "command", ["minigan", "minigan --version", "minigan.sample --help", "minigan.sample --version"]
)
def test_output_without_a_reader_is_no_traceback(
    tmp_path: Path, command: str, redirection: str, code: int, said: str
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"} | {"PYTHONPATH": str(ROOT)}
    script = f"{sys.executable} -m {command} {redirection}; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (code, said)


@pytest.mark.skipif(os.name != "posix", reason="redirections of bash")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "<&- 2>&-"])
def test_no_file_of_ours_gets_the_number_of_a_closed_stream(closed: str) -> None:
    code = f"import os, sys; sys.path.insert(0, {str(ROOT)!r}); from minigan import cli; cli.run(lambda a: os.open('.', 0), [])"
    done = subprocess.run(["bash", "-c", f'exec {sys.executable} -c "$0" {closed}', code], check=False)
    assert done.returncode > 2


# --------------------------------------------------------------------------------- what is empty, and what is pasted

TEXTS = [
    "--out",
    "--resume",
    "--config",
    "--data",
    "--data-dir",
    "--until",
    "--recipe",
    "--backend",
    "--hidden",
    "--steps",
]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("form", ["apart", "joined"])
def test_an_empty_value_is_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, form: str
) -> None:
    """An unset shell variable gives an empty value, and for Python the path "" is the current directory."""
    monkeypatch.chdir(tmp_path)
    argv = [name, ""] if form == "apart" else [f"{name}="]
    assert exit_code(train.main, "--steps", "1", *argv) == 2
    assert capsys.readouterr() == ("", f"minigan: {name} is empty; give a value, or leave it out.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", overview.COMMANDS)
def test_no_command_takes_an_empty_argument(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    main = importlib.import_module(f"minigan.{command}").main
    for argv in ([""], ["--json", ""], ["-o", ""], ["run", "-o="]):
        assert exit_code(main, *argv) == 2
        assert " is empty; give a value, or leave it out." in capsys.readouterr().err


def test_sentences_about_endless_arguments_are_short(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--steps", "9" * 5000], ["--" + "x" * 5000], ["y" * 5000], ["--steps", "\x1b[2J" * 999]):
        assert exit_code(lambda a: bool(parser().parse(a)), *argv) == 2
        err = capsys.readouterr().err
        assert len(err) < 800 and err.removesuffix("\n").isprintable()


ANY_PATH = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]) | st.sampled_from(" '\"\\$`!*?#~-\n\t;&|<>(){}[]"),
    min_size=1, max_size=20,
)  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="quoting for POSIX shells")
@settings(max_examples=10)
@given(
    paths=st.lists(
        ANY_PATH | st.binary(min_size=1, max_size=8).filter(lambda b: 0 not in b).map(os.fsdecode),
        min_size=20,
        max_size=20,
    )
)
def test_a_quoted_path_is_the_same_path_in_a_shell(paths: list[str]) -> None:
    words = [quoted(path) for path in paths]
    assert all(word.isprintable() for word in words)
    script = "printf '%s\\0' " + " ".join(words)
    done = subprocess.run(["bash", "-c", os.fsencode(script)], capture_output=True, check=True)
    for said, path in zip(done.stdout.split(b"\0"), paths, strict=False):
        said = os.fsdecode(said)
        assert not said.startswith("-") and os.path.normpath(said) == os.path.normpath(path)


def test_plain_paths_are_not_quoted() -> None:
    assert quoted(Path("runs/digits-001")) == "runs/digits-001"
    assert quoted("my runs/a b") == "'my runs/a b'"
    assert quoted("-x") == os.path.join(".", "-x")


@pytest.mark.parametrize("argv", [["check", "--json"], ["sample", "RUN", "-o"]])
def test_no_command_overwrites_a_file(argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nor replaces a device, which the superuser may do: /dev/null would be lost."""
    dangling = tmp_path / "link.png"
    dangling.symlink_to(tmp_path / "nothing")
    (tmp_path / "mine.png").write_text("mine")
    main = importlib.import_module(f"minigan.{argv[0]}").main
    for path in (tmp_path / "mine.png", dangling, Path(os.devnull)):
        kept = os.lstat(path)
        assert exit_code(main, *argv[1:], path) == 2
        assert "already exists" in capsys.readouterr().err or path == Path(os.devnull)
        assert os.lstat(path) == kept
