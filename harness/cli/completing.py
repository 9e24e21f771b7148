"""completion: the command that prints what a shell needs to complete commands, options, and the names of studies."""

from typing import Annotated, Literal

import typer
from typer import completion as of_typer


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish", "powershell"], typer.Argument(help="Whose script.")],
) -> None:
    """Print a script that has a shell complete what is typed.

    Commands, options and studies. For bash: source <(harness completion bash), in ~/.bashrc say. zsh takes the same
    line; fish reads harness completion fish | source. harness --install-completion writes it where the shell looks for
    it.
    """
    script = of_typer.get_completion_script  # type: ignore[attr-defined]  # of its own --show-completion
    print(script(prog_name="harness", complete_var="_HARNESS_COMPLETE", shell=shell))
