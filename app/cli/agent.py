"""`netadapt agent`: this machine measures for a service elsewhere."""

import secrets
import signal
import socket
from contextlib import closing
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.connection import DEFAULT_URL, Token, Url

if TYPE_CHECKING:
    from adapt.latency.runtimes.choice import RuntimeChoice

NEEDED = ("numpy", "onnxruntime")


def agent(
    url: Url = DEFAULT_URL,
    token: Token = None,
    name: Annotated[
        str | None, typer.Option(help="Name of this device among the targets; default: this host's.")
    ] = None,
    runtime: Annotated[str, typer.Option(help="What runs the networks.")] = "onnxruntime",
    provider: Annotated[
        str | None, typer.Option(help="Execution provider of onnxruntime, or device of torch; default: the CPU.")
    ] = None,
    provider_option: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE for the provider; may be given several times.")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads of one network.")] = 1,
    batch: Annotated[int, typer.Option(min=1, max=1024, help="Images of one run.")] = 1,
    int8: Annotated[bool, typer.Option("--int8", help="Measures quantised networks.")] = False,
) -> None:
    """Measures for a service until Ctrl-C: this machine becomes a target that jobs can name."""
    from adapt.latency.runtimes.choice import RuntimeChoice

    choice = RuntimeChoice(
        runtime=runtime,
        provider=provider or ("CPUExecutionProvider" if runtime == "onnxruntime" else "cpu"),
        provider_options=_options(provider_option or []),
        threads=threads,
        batch=batch,
        precision="int8" if int8 else "float32",
    )
    # A service manager's SIGTERM ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _measure(url, token, name or socket.gethostname(), choice)
    except KeyboardInterrupt:
        typer.echo("ended")


def _measure(url: str, token: str | None, name: str, choice: "RuntimeChoice") -> None:
    """Raises CommandFailed where this machine cannot measure so, NetAdaptError for what the service refuses."""
    from adapt.errors import MeasurementFailed
    from adapt.latency.local_device import LocalDevice
    from adapt.latency.machine_lock import MachineLock
    from app.agent.calls import AgentCalls
    from app.agent.program import AgentProgram
    from app.cli.failures import CommandFailed

    if missing := [each for each in NEEDED if find_spec(each) is None]:
        raise CommandFailed(f"{' and '.join(missing)} not installed; pip install 'netadapt-service[agent]'")
    with closing(LocalDevice(choice, MachineLock())) as device:
        try:
            conditions = device.conditions
        except MeasurementFailed as error:
            raise CommandFailed(str(error)) from error
        instance = secrets.token_hex(8)
        introduction = {"name": name, "instance": instance, "renews": True, "conditions": conditions.to_json()}
        ran_with = f"{conditions.runtime} {conditions.runtime_version}, {conditions.provider}, {_times(choice)}"

        def say(text: str) -> None:
            typer.echo(f"{name} ({ran_with}) at {url}: {text}")

        AgentProgram(lambda: AgentCalls(url, token), introduction, device, say).run()


def _times(choice: "RuntimeChoice") -> str:
    return f"threads {choice.threads}, batch {choice.batch}, {choice.precision}"


def _options(pairs: list[str]) -> dict[str, str]:
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not (key and equals):
            raise typer.BadParameter(f"{pair!r} is not KEY=VALUE", param_hint="--provider-option")
        options[key] = value
    return options


def register(app: typer.Typer) -> None:
    app.command()(agent)
