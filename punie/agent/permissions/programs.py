"""What is known of programs: which a pattern may be offered for, and how far a pattern reaches."""

import re
from collections.abc import Sequence

from punie.agent.permissions.rules import CommandPattern
from punie.agent.permissions.shell import SimpleCommand, Word
from punie.agent.permissions.words import names
from punie.agent.permissions.wrappers import RUNNERS, program

# They destroy, reach beyond the machine, or run what their arguments or input say: allowing them
# with any arguments would be allowing anything.
_EXACT_ONLY = RUNNERS | names(
    "sh bash dash zsh fish ksh csh tcsh eval trap rm rmdir unlink mv cp ln dd tee truncate install "
    "rsync shred patch split csplit uniq xxd chmod chown chgrp chattr curl wget aria2c http nc "
    "ncat socat telnet scp sftp ftp awk gawk mawk nawk sed perl ruby node deno bun lua luajit php "
    "java tclsh osascript Rscript R julia elixir erl ghci swift vi vim nvim emacs nano ed ex less "
    "more man most view tar zip unzip 7z cpio ar jar docker-compose helm terraform tofu pulumi "
    "ansible ansible-playbook vagrant aws gcloud az gh glab heroku fly vercel netlify apt apt-get "
    "aptitude dpkg rpm brew dnf yum pacman snap flatpak port nix pip pip3 easy_install conda mamba "
    "micromamba gem bundle composer systemctl service launchctl crontab at batch kill pkill "
    "killall reboot shutdown halt mount umount mkfs fdisk diskutil hdiutil open xdg-open screen "
    "tmux lldb sqlite3 psql mysql mongosh redis-cli gpg security defaults direnv mise asdf nvm "
    "git-shell twine hatchling svn hg cmd powershell pwsh invoke inv fab ipython ipython3 jupyter "
    "ts-node tsx gcc g++ cc c++ clang clang++ ld rustc ffmpeg convert magick pandoc openssl sponge "
    "tox nox pre-commit rename mail mailx sendmail dig host nslookup ping traceroute whois lynx "
    "w3m links"
)
_FIXED = names(
    "make gmake just task rake ant mvn gradle gradlew sbt bazel mix dotnet cmake npm pnpm yarn cd"
)
"""Their arguments name what is run, so a pattern holds all of them."""
_FIXED_WORDS = 4
_SUBCOMMANDS: dict[str, frozenset[str]] = {
    "git": names(
        "add blame commit describe diff fetch grep log ls-files ls-tree rev-parse shortlog show "
        "status"
    ),
    "coverage": names("annotate combine erase html json lcov report xml"),
    "cargo": names("bench build check clippy doc fmt metadata nextest test tree"),
    "go": names("build doc fmt list test version vet"),
    "uv": frozenset({"lock", "tree", "version"}),
    "poetry": frozenset({"check", "show", "version"}),
}
"""Programs that are many; a pattern names the subcommand too, and only these are offered."""
_MODULES_EXACT_ONLY = names(
    "asyncio bdb cProfile code codeop doctest ensurepip http.server idlelib IPython pdb pip pipx "
    "profile pydoc runpy site smtpd timeit trace venv virtualenv webbrowser zipapp"
)
_PYTHON = re.compile(r"(?:python|pypy)\d*(?:\.\d+)?")
_TAR_RUNS = frozenset("IF")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_SYSTEM_FOLDERS = ("/bin/", "/usr/bin/", "/usr/local/bin/", "/opt/homebrew/bin/")

# Options with which a program that looks harmless writes files or runs others. A pattern with
# ` *` does not reach them.
_REACHING_OPTIONS: dict[str, frozenset[str]] = {
    "git": names(
        "--output --open-files-in-pager -O --upload-pack --receive-pack --exec --ext-diff "
        "--no-index --template --separate-git-dir"
    ),
    "find": names("-delete -fprint -fprintf -fprint0 -fls"),
    "fd": names("-x -X --exec --exec-batch"),
    "fdfind": names("-x -X --exec --exec-batch"),
    "rg": names("--pre --hostname-bin"),
    "sort": names("-o --output --compress-program -T --temporary-directory"),
    "tree": names("-o -R"),
    "yq": names("-i --inplace --in-place -s --split-exp"),
    "bat": frozenset({"--pager"}),
    "batcat": frozenset({"--pager"}),
    "ag": frozenset({"--pager"}),
    "ack": frozenset({"--pager"}),
    "shuf": names("-o --output"),
    "iconv": names("-o --output"),
    "diff3": frozenset({"--diff-program"}),
    "sdiff": names("-o --output --diff-program"),
    "pylint": names("--init-hook --output"),
    "mypy": names("--python-executable --install-types"),
    "file": names("-C --compile"),
    "cargo": names("--config --manifest-path -Z -C"),
    "go": names("-exec -toolexec -vettool -o -overlay -modfile -C -pkgdir"),
    "date": names("-s --set"),
    "hostname": frozenset({"-F", "--file"}),
    "man": names("-P --pager -H --html -C --config-file"),
    "tar": names(
        "-I -F --to-command --checkpoint-action --use-compress-program --info-script "
        "--new-volume-script --rmt-command --rsh-command"
    ),
}


_GIT_RUNS = names(
    "archimport bisect citool clone config credential credential-cache credential-store cvsimport "
    "cvsserver daemon difftool filter-branch for-each-repo gui hook instaweb maintenance mergetool "
    "p4 quiltimport rebase remote-ext remote-fd send-email shell submodule svn web--browse"
)
"""Subcommands that run what their arguments say, or write what others run: `git *` does not reach
them, a pattern that names one does."""


def reaches(pattern: CommandPattern, command: SimpleCommand, *, moved: bool) -> bool:
    """Tell whether the pattern speaks of this command and what it would do is in the pattern.

    `moved` tells that the working directory may be another one: relative programs are others then.
    """
    fixed = len(pattern.words)
    words = command.words
    if command.altered or len(words) < fixed:
        return False
    if any(
        not word.known or word.text != wanted
        for word, wanted in zip(words, pattern.words, strict=False)
    ):
        return False
    if not pattern.more and (len(words) != fixed or command.open_ended):
        return False
    name = program(words[0])
    if moved and (
        ("/" in words[0].text and not words[0].text.startswith("/"))
        or (_PYTHON.fullmatch(name) and pattern.words[1:2] != ("-m",))
    ):
        return False
    options = _REACHING_OPTIONS.get(name)
    if options is None:
        return True
    if fixed == 1 and len(words) > 1 and _first_word_reaches(name, words[1]):
        return False
    return not (command.open_ended or _has_option(words[fixed:], options))


def _first_word_reaches(name: str, word: Word) -> bool:
    """Tell whether the first argument makes the program run what others say."""
    match name:
        case "git":
            # git's own options, -c above all, change what every subcommand does.
            return word.option or not word.known or word.text in _GIT_RUNS
        case "tar":
            # These may be options without their dash.
            return not word.option and not (word.known and _TAR_RUNS.isdisjoint(word.text))
        case _:
            return False


def _has_option(words: Sequence[Word], options: frozenset[str]) -> bool:
    for word in words:
        if not word.option:
            continue
        if not word.known:
            return True
        if word.text == "--":
            return False
        given = word.text.partition("=")[0]
        for option in options:
            if option.startswith("--"):
                # Long options may be shortened.
                found = len(given) > 2 and option.startswith(given)
            elif len(option) == 2:
                found = not given.startswith("--") and option[1] in given[1:]
            else:
                found = given in (option, f"-{option}")
            if found:
                return True
    return False


def pattern_for(command: SimpleCommand, *, inside: bool) -> CommandPattern | None:
    """Return the pattern to offer for a command; None where only the exact call is offered.

    `inside` tells for `cd` that the folder is in the workspace.
    """
    head = command.words[0]
    name = program(head)
    texts = tuple(word.text for word in command.words if word.known)
    if not head.known or not _NAME.fullmatch(name) or name in _EXACT_ONLY:
        return None
    if head.text.startswith("/") and not head.text.startswith(_SYSTEM_FOLDERS):
        return None
    if ".." in head.text.split("/"):
        return None
    if name in _FIXED:
        whole = len(texts) == len(command.words) <= _FIXED_WORDS
        if not whole or any(word.option or "=" in word.text for word in command.words[1:]):
            return None
        return CommandPattern(texts, more=False) if name != "cd" or inside else None
    second = command.words[1] if len(command.words) > 1 else None
    if _PYTHON.fullmatch(name):
        return _python_pattern(command.words)
    if name in _SUBCOMMANDS:
        if second is None or not second.known:
            return None
        if (name, second.text) == ("uv", "run") and len(texts) > 2 and not command.words[2].option:
            return CommandPattern(texts[:3], more=True)
        if second.text not in _SUBCOMMANDS[name]:
            return None
        return CommandPattern(texts[:2], more=True)
    return CommandPattern((head.text,), more=True)


def _python_pattern(words: Sequence[Word]) -> CommandPattern | None:
    if len(words) < 2 or not words[1].known:
        return None
    if words[1].text == "-m":
        if len(words) < 3 or not words[2].known or not _MODULE.fullmatch(words[2].text):
            return None
        if words[2].text.partition(".")[0] in _MODULES_EXACT_ONLY or words[2].text == "http.server":
            return None
        return CommandPattern((words[0].text, "-m", words[2].text), more=True)
    script = words[1].text
    if words[1].option or not script.endswith(".py") or script.startswith(("/", "~")):
        return None
    if ".." in script.split("/"):
        return None
    return CommandPattern((words[0].text, script), more=True)
