"""What the README, the make file and the CI script promise is what they do."""

import os
import re
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def readme(repository):
    return (repository / "README.md").read_text(encoding="utf-8")


def commands(readme):
    return re.findall(r"^    (\S.*)$", readme, re.M)


def test_its_commands_are_those_of_the_make_file(repository, readme):
    makefile = (repository / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^(\w+):", makefile, re.M)
    for command in ("make demo", "make test"):
        assert command in commands(readme)
        assert command.split()[1] in targets


def test_ci_runs_the_test_command_of_the_readme(repository):
    script = repository / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("exec make test")


def test_every_check_fails_the_make_target(repository):
    """``make`` stops at the first line that fails, unless a line begins with "-" or hides its status."""
    text = (repository / "Makefile").read_text().partition("\ntest:")[2].partition("\n\n")[0]
    recipe = text.splitlines()[1:]
    assert [line.split()[0].split("/")[-1] for line in recipe] == ["ruff", "ruff", "lint-imports", "python"]
    assert recipe[-1].endswith("-m pytest")
    assert not any(line.startswith("\t-") or "||" in line or ";" in line for line in recipe)


@pytest.mark.slow
def test_its_python_runs(readme, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.S)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert "type 6: 4 of 4 measure inside" in capsys.readouterr().out
    assert len(names["dataset"]) == 8
    assert names["sample"].image.shape == (3, 256, 256)


COMMANDS = (
    ("generate",),
    ("plan",),
    ("export",),
    ("info",),
    *(("evaluate", name) for name in ("quality", "audit", "gain", "report")),
    *(("train", name) for name in ("flow", "lora")),
)


def test_its_flags_exist(readme):
    """Flags in a line with ``synthderm COMMAND`` are that command's or ``generate``'s, all others ``generate``'s."""
    code = (
        "import sys, contextlib, io\n"
        "from synthderm.cli import main\n"
        f"for words in {COMMANDS!r}:\n"
        "    sys.argv = ['synthderm', *words, '--help']\n"
        "    with contextlib.suppress(SystemExit): main()\n"
        "    print('\\0')"
    )
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    helps = dict(zip(COMMANDS, text.split("\0"), strict=False))
    found = 0
    for line in re.sub("<!--.*?-->", "", readme).splitlines():
        named = [("generate",), *(words for words in COMMANDS if f"synthderm {' '.join(words)}" in line)]
        for flag in re.findall(r"(?<![-\w])--[a-z][a-z-]+", line):
            assert any(flag in helps[words] for words in named), (flag, line)
            found += 1
    assert found > 20
