"""Write the completion scripts under completions/ from the command tree: python tools/generate_completions.py

The scripts are static, so that a TAB never starts Python. Account codes come from a file that `account create`, `list`
and `import` keep, one for each profile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from ledgerctl.cli.app import app
from ledgerctl.cli.topics import TOPICS
from ledgerctl.core.model import AccountType

COMPLETIONS = Path(__file__).resolve().parent.parent / "completions"
HEADER = "# Completion of ledgerctl. Made by tools/generate_completions.py; do not edit.\n"
ACCOUNTS = "${XDG_CACHE_HOME:-$HOME/.cache}/ledgerctl/accounts-${LEDGERCTL_PROFILE:-default}.txt"

VALUES = {
    "--output": ("table", "json", "jsonl", "csv"),
    "--color": ("auto", "always", "never"),
    "--type": tuple(AccountType),
    "--format": ("csv", "mt940", "camt053", "ofx"),
}
FILES = ("--config", "--out", "--keep", "--statement", "--html", "--metrics-textfile")
ARGUMENTS = {"file": "file", "code": "account", "codes": "account", "source": "account", "target": "account",
             "prefix": "account"}  # fmt: skip
WORDS = {"help": tuple(TOPICS), "completion": ("bash", "zsh", "fish")}


@dataclass(frozen=True, slots=True)
class Option:
    names: tuple[str, ...]
    help: str
    valued: bool

    @property
    def values(self) -> tuple[str, ...]:
        return next((VALUES[name] for name in self.names if name in VALUES), ())

    @property
    def files(self) -> bool:
        return any(name in FILES for name in self.names)


@dataclass(frozen=True, slots=True)
class Command:
    """A node of the tree; `path` is what is typed to reach it, `argument` what its arguments are."""

    path: str
    help: str
    options: tuple[Option, ...]
    children: tuple[str, ...]
    argument: str

    @property
    def name(self) -> str:
        return self.path.rpartition(" ")[2]


def tree() -> list[Command]:
    """Every command, the root first; its options are the global ones."""
    return list(_walk("", typer.main.get_command(app)))


def _walk(path: str, node: Any) -> Iterator[Command]:
    children = getattr(node, "commands", {})
    options = [_option(one) for one in node.params if one.param_type_name == "option" and not one.hidden]
    kinds = [ARGUMENTS.get(one.name, "") for one in node.params if one.param_type_name == "argument"]
    argument = next(filter(None, kinds), "words" if path in WORDS else "")
    summary = (node.help or "").strip().split("\n")[0]
    yield Command(path, summary, tuple(options), tuple(children), argument)
    for name, child in children.items():
        yield from _walk(f"{path} {name}".strip(), child)


def _option(one: Any) -> Option:
    return Option(tuple(one.opts), (one.help or "").replace("\n", " "), not (one.is_flag or one.count))


# -- bash ------------------------------------------------------------------------------------------------------------

BASH = """\
__HEADER__
_ledgerctl_commands() {
    case $1 in
__COMMANDS__
    esac
}

_ledgerctl_options() {
    case $1 in
__OPTIONS__
    esac
    echo '__GLOBALS__'
}

_ledgerctl_argument() {
    case $1 in
__ARGUMENTS__
    esac
}

_ledgerctl_accounts() {
    local file="__ACCOUNTS__"
    [ -r "$file" ] && compgen -W "$(< "$file")" -- "$1"
}

_ledgerctl() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} path='' word skip='' place
    # Where ':' breaks words, put together again what belongs to one account code.
    if [[ $COMP_WORDBREAKS == *:* ]]; then
        local line=${COMP_LINE:0:COMP_POINT}
        [[ $line == *[[:space:]] ]] || current=${line##*[[:space:]]}
    fi
    for ((place = 1; place < COMP_CWORD; place++)); do
        word=${COMP_WORDS[place]}
        if [ -n "$skip" ]; then skip=''; continue; fi
        case $word in
            __VALUED__) skip=1 ;;
            -*) ;;
            *) [[ " $(_ledgerctl_commands "$path") " == *" $word "* ]] && path="${path:+$path }$word" ;;
        esac
    done
    COMPREPLY=()
    case $previous in
__VALUES__
        __FILES__) COMPREPLY=($(compgen -f -- "$current")); return ;;
        __VALUED__) return ;;
    esac
    if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$(_ledgerctl_options "$path")" -- "$current"))
        return
    fi
    COMPREPLY=($(compgen -W "$(_ledgerctl_commands "$path")" -- "$current"))
    [ ${#COMPREPLY[@]} -gt 0 ] && return
    case $(_ledgerctl_argument "$path") in
        file) COMPREPLY=($(compgen -f -- "$current")) ;;
        account)
            COMPREPLY=($(_ledgerctl_accounts "$current"))
            if [[ $current == *:* && $COMP_WORDBREAKS == *:* ]]; then
                local typed=${current%"${current##*:}"}
                COMPREPLY=("${COMPREPLY[@]#"$typed"}")
            fi ;;
        *) COMPREPLY=($(compgen -W "$(_ledgerctl_argument "$path")" -- "$current")) ;;
    esac
}

complete -F _ledgerctl ledgerctl
"""


def bash(commands: list[Command]) -> str:
    """The script for bash."""
    valued = sorted({name for one in _all_options(commands) if one.valued for name in one.names})
    choices = {one.names: one.values for one in _all_options(commands) if one.values}
    arguments = {
        one.path: " ".join(WORDS[one.path]) if one.argument == "words" else one.argument
        for one in commands
        if one.argument
    }
    return _filled(
        BASH,
        HEADER=HEADER.rstrip(),
        COMMANDS=_cases({one.path: " ".join(one.children) for one in commands if one.children}),
        OPTIONS=_cases({one.path: _names(one.options) for one in commands if one.path and one.options}),
        GLOBALS=_names(commands[0].options),
        ARGUMENTS=_cases(arguments),
        ACCOUNTS=ACCOUNTS,
        VALUED="|".join(valued),
        VALUES="\n".join(
            f"        {'|'.join(names)}) COMPREPLY=($(compgen -W '{' '.join(values)}' -- \"$current\")); return ;;"
            for names, values in choices.items()
        ),
        FILES="|".join(FILES),
    )


def _cases(texts: dict[str, str]) -> str:
    return "\n".join(f"        '{path}') echo '{text}' ;;" for path, text in texts.items())


def _names(options: Iterable[Option]) -> str:
    return " ".join(name for one in options for name in one.names)


# -- zsh -------------------------------------------------------------------------------------------------------------

ZSH = """\
#compdef ledgerctl
__HEADER__
_ledgerctl_accounts() {
    local file="__ACCOUNTS__"
    [[ -r $file ]] && compadd -- ${(f)"$(<$file)"}
}

_ledgerctl() {
    local path='' word skip='' place
    for ((place = 2; place < CURRENT; place++)); do
        word=$words[place]
        if [[ -n $skip ]]; then skip=''; continue; fi
        case $word in
            (__VALUED__) skip=1 ;;
            (-*) ;;
            (*) (( ${${(s: :)$(_ledgerctl_commands $path)}[(Ie)$word]} )) && path="${path:+$path }$word" ;;
        esac
    done
    case $words[CURRENT-1] in
__VALUES__
        (__FILES__) _files; return ;;
        (__VALUED__) return ;;
    esac
    local -a described
    if [[ $words[CURRENT] == -* ]]; then
        case $path in
__OPTIONS__
        esac
        described+=(__GLOBALS__)
        _describe -o option described
        return
    fi
    case $path in
__CHILDREN__
    esac
    case $path in
__ARGUMENTS__
    esac
}

_ledgerctl_commands() {
    case $1 in
__COMMANDS__
    esac
}

_ledgerctl "$@"
"""


def zsh(commands: list[Command]) -> str:
    """The script for zsh."""
    valued = sorted({name for one in _all_options(commands) if one.valued for name in one.names})
    by_path = {one.path: one for one in commands}
    actions = {"file": "_files", "account": "_ledgerctl_accounts"}
    return _filled(
        ZSH,
        HEADER=HEADER.rstrip(),
        ACCOUNTS=ACCOUNTS,
        VALUED="|".join(valued),
        VALUES="\n".join(
            f"        ({'|'.join(one.names)}) compadd -- {' '.join(one.values)}; return ;;"
            for one in {one.names: one for one in _all_options(commands) if one.values}.values()
        ),
        FILES="|".join(FILES),
        OPTIONS="\n".join(
            f"            ({one.path!r}) described=({_described(one.options)}) ;;" for one in commands if one.path
        ),
        GLOBALS=_described(commands[0].options),
        CHILDREN="\n".join(
            f"        ({one.path!r}) described=("
            + " ".join(_quoted(f"{name}:{by_path[f'{one.path} {name}'.strip()].help}") for name in one.children)
            + "); _describe command described; return ;;"
            for one in commands
            if one.children
        ),
        ARGUMENTS="\n".join(
            f"        ({one.path!r}) {actions.get(one.argument) or 'compadd -- ' + ' '.join(WORDS[one.path])} ;;"
            for one in commands
            if one.argument
        ),
        COMMANDS=_cases({one.path: " ".join(one.children) for one in commands if one.children}),
    )


def _described(options: Iterable[Option]) -> str:
    return " ".join(_quoted(f"{name}:{one.help}") for one in options for name in one.names)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# -- fish ------------------------------------------------------------------------------------------------------------

FISH = """\
__HEADER__
function __ledgerctl_accounts
    set -l cache $HOME/.cache
    set -q XDG_CACHE_HOME; and set cache $XDG_CACHE_HOME
    set -l profile default
    set -q LEDGERCTL_PROFILE; and set profile $LEDGERCTL_PROFILE
    test -r $cache/ledgerctl/accounts-$profile.txt; and cat $cache/ledgerctl/accounts-$profile.txt
end

function __ledgerctl_at --description 'whether these words and no further command have been typed'
    set -l typed (string match --invert --regex -- '^-' (commandline -opc))
    string match --quiet -- "$argv *" (string join ' ' -- $typed[2..-1])' '; or test -z "$argv"
end

complete -c ledgerctl -f
"""


def fish(commands: list[Command]) -> str:
    """The script for fish."""
    lines = [FISH.replace("__HEADER__", HEADER.rstrip())]
    by_path = {one.path: one for one in commands}
    for one in commands:
        here = f"__ledgerctl_at {one.path}".strip()
        condition = f"{here}; and not __fish_seen_subcommand_from {' '.join(one.children)}" if one.children else here
        for name in one.children:
            summary = by_path[f"{one.path} {name}".strip()].help
            lines.append(f"complete -c ledgerctl -n {_quoted(condition)} -a {name} -d {_quoted(summary)}\n")
        for option in one.options:
            where = f" -n {_quoted(here)}" if one.path else ""
            lines.append(f"complete -c ledgerctl{where}{_fish_option(option)}\n")
        if one.argument:
            words = {"file": "-F", "account": "-a '(__ledgerctl_accounts)'"}.get(one.argument)
            lines.append(
                f"complete -c ledgerctl -n {_quoted(here)} {words or '-a ' + _quoted(' '.join(WORDS[one.path]))}\n"
            )
    return "".join(lines)


def _fish_option(option: Option) -> str:
    names = "".join(f" -l {name[2:]}" if name.startswith("--") else f" -s {name[1:]}" for name in option.names)
    value = f" -x -a {_quoted(' '.join(option.values))}" if option.values else " -r" if option.valued else ""
    return f"{names}{' -r -F' if option.files else value} -d {_quoted(option.help)}"


# --------------------------------------------------------------------------------------------------------------------


def _all_options(commands: list[Command]) -> Iterator[Option]:
    return (option for one in commands for option in one.options)


def _filled(template: str, **parts: str) -> str:
    for name, part in parts.items():
        template = template.replace(f"__{name}__", part)
    return template


def render() -> dict[str, str]:
    """File name under completions/ -> what it must hold."""
    commands = tree()
    return {"ledgerctl.bash": bash(commands), "_ledgerctl": zsh(commands), "ledgerctl.fish": fish(commands)}


if __name__ == "__main__":
    COMPLETIONS.mkdir(exist_ok=True)
    for name, text in render().items():
        (COMPLETIONS / name).write_text(text, encoding="utf-8")
