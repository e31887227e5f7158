"""What other people's code may rely on, and what each entrance may load."""

import subprocess
import sys
import textwrap
from pathlib import Path

import netadapt

ROOT = Path(__file__).resolve().parents[2]
NAMES = {
    "AsyncClient",
    "BadRequest",
    "Client",
    "Conflict",
    "Forbidden",
    "Invalid",
    "NetAdaptError",
    "NotFound",
    "ServiceFailed",
    "ServiceUnreachable",
    "SignInNeeded",
    "TooLarge",
    "TooManyRequests",
    "UnexpectedAnswer",
    "UnsupportedFormat",
    "load",
    "run",
}


def python(code: str, *, folder: Path = ROOT) -> str:
    """The output of `code`, run by a fresh interpreter as by a script in `folder`."""
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


def loaded_by(statement: str) -> set[str]:
    return set(python(f"import sys\n{statement}\nprint(*{{name.partition('.')[0] for name in sys.modules}})").split())


def test_the_public_names_are_these() -> None:
    assert set(netadapt.__all__) == NAMES
    assert set(dir(netadapt)) >= NAMES
    assert all(
        issubclass(getattr(netadapt, name), netadapt.NetAdaptError)
        for name in NAMES - {"AsyncClient", "Client", "load", "run"}
    )


def test_the_algorithm_is_reached_by_the_public_face() -> None:
    assert callable(netadapt.run)
    assert callable(netadapt.load)


def test_the_service_starts_without_torch() -> None:
    assert not loaded_by("import app.main") & {"torch", "torch_pruning"}


def test_the_algorithm_knows_no_service() -> None:
    assert not loaded_by("import adapt, adapt.loop, adapt.api") & {
        "fastapi",
        "sqlalchemy",
        "pydantic",
        "app",
        "workers",
    }


def test_the_client_needs_httpx_only() -> None:
    assert not loaded_by("from netadapt import Client") & {"torch", "numpy", "sqlalchemy", "fastapi", "pydantic"}


def test_help_loads_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "sqlalchemy", "fastapi", "pydantic", "uvicorn", "httpx", "rich"}
    assert not loaded_by("import app.cli.main") & heavy
    help_text = """
        import sys
        from app.cli.main import app
        try:
            app(["--help"])
        except SystemExit as end:
            assert not end.code
        print("LOADED", *sys.modules)
    """
    text, _, loaded = python(help_text).partition("LOADED")
    assert "submit" in text
    assert not set(loaded.split()) & heavy


def test_the_face_works_in_a_folder_with_an_app_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("whose = 'theirs'")
    (tmp_path / "app" / "client.py").write_text("raise RuntimeError('not this one')")
    assert python(
        """
        from netadapt import Client
        import netadapt, app
        print(app.whose)
        try:
            Client("http://127.0.0.1:1", sleep=lambda seconds: None).info()
        except netadapt.NetAdaptError as error:
            print(type(error) is netadapt.ServiceUnreachable)
        import netadapt, app
        print(app.whose)
        """,
        folder=tmp_path,
    ).split() == ["theirs", "True", "theirs"]


def test_the_face_works_inside_somebody_elses_app_that_is_a_module(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("from netadapt import Client\nwhose = 'theirs'")
    assert python("import app\nprint(app.whose, app.Client.__name__)", folder=tmp_path).split() == ["theirs", "Client"]


def test_another_package_named_adapt_is_named_instead_of_used(tmp_path: Path) -> None:
    (tmp_path / "adapt").mkdir()
    (tmp_path / "adapt" / "__init__.py").write_text("")
    said = python(
        """
        import netadapt
        print(netadapt.Client.__name__)
        try:
            netadapt.run
        except ImportError as error:
            print(error)
        """,
        folder=tmp_path,
    )
    assert said.startswith("Client\nanother package named 'adapt' is found before ours")


def test_the_adapt_that_is_imported_is_ours() -> None:
    assert Path(python("import adapt\nprint(adapt.__file__)").strip()) == ROOT / "adapt" / "__init__.py"
