# SPDX-License-Identifier: Apache-2.0
"""What the lints share: the files of a tree, and C or JavaScript with comments and strings blanked."""
import os
import re
import subprocess
import sys

SKIPPED = {"build", "node_modules", ".git", "out"}


def root_of(argv):
    """The tree to look at: the first argument, or the one this script is in."""
    if len(argv) > 1:
        return os.path.abspath(argv[1])
    return os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))


def files_of(root):
    """Every file git knows or would add, as paths from the root; a tree without git is walked."""
    git = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard", "-z", "--", "."],
                         capture_output=True, check=False)
    top = subprocess.run(["git", "-C", root, "rev-parse", "--show-toplevel"], capture_output=True, check=False,
                         text=True)
    if git.returncode == 0 and os.path.realpath(top.stdout.strip()) == os.path.realpath(root):
        names = [name for name in git.stdout.decode().split("\0") if name]
        return sorted({name for name in names if os.path.isfile(os.path.join(root, name))})
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if name not in SKIPPED and not name.startswith("build")]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    return sorted(found)


def read(root, name):
    with open(os.path.join(root, name), encoding="utf-8", errors="replace") as file:
        return file.read()


def is_script(root, name):
    if name.endswith((".sh", ".py")):
        return True
    if "." in os.path.basename(name):
        return False
    with open(os.path.join(root, name), "rb") as file:
        return file.read(2) == b"#!"


def is_c(name):
    return name.endswith((".c", ".h"))


def is_js(name):
    return name.endswith((".js", ".mjs", ".cjs"))


C_TOKENS = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.S)
JS_TOKENS = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`"""
    r"""|(?<=[(,=:[!&|?{};\n])[ \t]*/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\\\n\[])+/[a-z]*""", re.S)


def blanked(name, text):
    """The text with comments and the inside of strings as blanks; every other byte keeps its line and column."""
    tokens = JS_TOKENS if is_js(name) else C_TOKENS
    return tokens.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


class Report:
    """Prints findings as file:line: text; exit_code() is 1 when there were any."""

    def __init__(self, lint):
        self.lint = lint
        self.count = 0

    def add(self, name, line, text):
        self.count += 1
        print(f"{name}:{line}: {text} [{self.lint}]")

    def exit_code(self):
        sys.stdout.flush()
        return 1 if self.count else 0
