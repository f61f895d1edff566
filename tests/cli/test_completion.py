"""Shell completion, in the shells themselves: what the declarations know is offered."""

import contextlib
import os
import pty
import shutil
import subprocess

import pytest
from patience import PATIENCE_SECONDS
from processes import SCRIPT

PATH = os.pathsep.join((str(SCRIPT.parent), os.environ["PATH"]))
ASK = {
    "bash": """
        source <(wgtwo-pipeline completion bash); source /dev/stdin
        COMP_WORDS=(wgtwo-pipeline "$@"); COMP_CWORD=$#
        _wgtwo_pipeline_completion wgtwo-pipeline
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    # zsh's own functions work only at a prompt: what they would show is printed in their place.
    "zsh": """
        compdef() {}; _describe() { print -l -- "${${(P@)3}[@]%%:*}" }; compadd() { print -l -- "${(P@)5}" }
        source <(wgtwo-pipeline completion zsh)
        words=(wgtwo-pipeline "$@"); CURRENT=$(($# + 1))
        _wgtwo_pipeline_completion
    """,
    "fish": """
        wgtwo-pipeline completion fish | source
        complete --do-complete "wgtwo-pipeline $argv" | string replace --regex '\\t.*' ''
    """,
}


def offered(shell, *words, exported=""):
    """What the shell would put in the place of the last word."""
    assert shutil.which(shell), f"{shell} is not installed: .ci/debian.sh installs it"
    options = {"bash": ["--norc", "-c"], "zsh": ["-f", "-c"], "fish": ["--no-config", "-c"]}[shell]
    lead = [] if shell == "fish" else [shell]
    ended = subprocess.run(
        [shell, *options, ASK[shell], *lead, *words],
        capture_output=True,
        text=True,
        input=exported,
        timeout=PATIENCE_SECONDS,
        env=os.environ | {"PATH": PATH},
    )
    assert ended.stderr == ""
    return ended.stdout.split()


SHELLS = [
    "bash",
    pytest.param("zsh", marks=pytest.mark.heavy),
    pytest.param("fish", marks=pytest.mark.heavy),
]


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("words", "completions"),
    [
        (["st"], ["status"]),
        (["run", "--ack-t"], ["--ack-timeout"]),
        (["query", "--format", "p"], ["parquet"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["run", "--lake", "x", "--types", "sms,voicem"], ["sms,voicemail"]),
        (["ingest", "--start", "o"], ["oldest"]),
        (["status", "--endp"], []),
    ],
    ids=lambda words: " ".join(words),
)
def test_a_shell_completes(shell, words, completions):
    """Commands, options and their values, and the last name of a list."""
    assert sorted(offered(shell, *words)) == sorted(completions)


def test_what_is_wrong_elsewhere_does_not_stop_it(tmp_path):
    """While somebody types, a file, a variable or a value that will be refused says nothing."""
    exported = f"export WGTWO_LAKKE=x WGTWO_CONFIG={tmp_path}/none.toml"
    assert offered("bash", "run", "--linger", "5", "--until", exported=exported) == ["--until-idle"]


def test_tab_at_a_prompt(tmp_path):
    """With the line that the help shows in ~/.bashrc, TAB completes what was typed."""
    (tmp_path / ".bashrc").write_text(
        'eval "$(wgtwo-pipeline completion bash)"; wgtwo-pipeline() { echo "$*" > typed; exit; }\n'
    )
    ours, shells = pty.openpty()
    os.write(ours, b"wgtwo-pipeline aud\t--js\t--deep\n")
    with subprocess.Popen(
        ["bash", "--rcfile", tmp_path / ".bashrc", "-i"],
        stdin=shells,
        stdout=shells,
        stderr=shells,
        cwd=tmp_path,
        env=os.environ | {"PATH": PATH, "TERM": "dumb"},
        start_new_session=True,
    ) as bash:
        os.close(shells)
        shown = read_all(ours)
        bash.wait(PATIENCE_SECONDS)
    assert (tmp_path / "typed").read_text() == "audit --json --deep\n", shown


def read_all(terminal):
    """What a terminal shows until nobody writes to it any more."""
    shown = b""
    with contextlib.suppress(OSError), os.fdopen(terminal, "rb", buffering=0) as file:
        while part := file.read(4096):
            shown += part
    return shown
