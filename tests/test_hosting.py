"""The files for servers of others fit each other and this checkout; none of those servers is there to try them."""

import re
import shlex
import tomllib
from pathlib import Path

import yaml

from app.cli import parser

ROOT = Path(__file__).parents[1]


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile with their arguments, comments and line ends removed."""
    lines = (line for line in (ROOT / "Dockerfile").read_text("utf-8").splitlines() if not line.startswith("#"))
    whole = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in whole.splitlines() if line]


def of_kind(kind: str) -> list[str]:
    return [rest for each, rest in instructions() if each == kind]


def test_dockerfile_knows_only_instructions_of_docker_and_copies_what_exists():
    known = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "EXPOSE", "HEALTHCHECK", "CMD"}
    assert {kind for kind, _ in instructions()} == known
    ignored = (ROOT / ".dockerignore").read_text().split()
    for copied in of_kind("COPY"):
        *sources, _ = copied.split()
        for source in sources:
            assert (ROOT / source).exists() and source not in ignored, source
    order = [kind for kind, _ in instructions()]
    assert order[0] == "FROM" and order.index("USER") > max(i for i, kind in enumerate(order) if kind == "RUN")
    assert set(of_kind("USER")) == {"explorer"}


def test_dockerfile_installs_the_lock_with_torch_for_cpus():
    (pip,) = (run for run in of_kind("RUN") if run.startswith("pip "))
    words = shlex.split(pip)
    named = [words[at + 1] for at, word in enumerate(words) if word in ("-r", "-c")]
    assert named == ["requirements.txt", "constraints.txt"]
    assert {*named} <= set(of_kind("COPY")[0].split())
    assert words[words.index("--extra-index-url") + 1].endswith("/whl/cpu")


def test_container_runs_the_command_line_on_the_port_that_is_asked_for_its_health():
    command = yaml.safe_load(of_kind("CMD")[0])  # JSON, as Docker wants it
    assert command[:3] == ["python", "-m", "app"]
    arguments = parser().parse_args(command[3:])
    assert (arguments.command, arguments.address) == ("serve", "0.0.0.0")
    assert [str(arguments.port)] == of_kind("EXPOSE")
    (health,) = of_kind("HEALTHCHECK")
    assert f":{arguments.port}/_stcore/health" in health
    code = shlex.split(health.partition("CMD ")[2])
    compile(code[code.index("-c") + 1], "HEALTHCHECK", "exec")


def test_a_space_asks_for_the_port_of_the_container():
    text = (ROOT / "hosting" / "huggingface" / "README.md").read_text("utf-8")
    head = yaml.safe_load(text.split("---\n")[1])
    assert (head["sdk"], [str(head["app_port"])]) == ("docker", of_kind("EXPOSE"))
    assert len(head["short_description"]) <= 60 and head["license"] == "apache-2.0"


def test_streamlit_cloud_finds_the_lock_the_settings_and_the_browser():
    """It looks for requirements and settings beside the script, and for packages of Debian in the root."""
    wanted = (ROOT / "app" / "requirements.txt").read_text().splitlines()
    files = [(ROOT / "app" / line.split()[1]).resolve() for line in wanted if line.startswith(("-r", "-c"))]
    assert files == [ROOT / "requirements.txt", ROOT / "constraints.txt"]
    assert tomllib.loads((ROOT / "app" / ".streamlit" / "config.toml").read_text("utf-8"))["server"]["maxUploadSize"]
    (apt,) = (run for run in of_kind("RUN") if run.startswith("apt-get"))
    installed = apt.split("--no-install-recommends ")[1].split(" &&")[0].split()
    assert (ROOT / "packages.txt").read_text().split() == installed
