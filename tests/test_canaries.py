"""A sweep of canaries: secrets and names in every channel that is read, none in anything that is written."""

import json
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers import faketorch
from helpers.cli import Result, invoke


class Nest(NamedTuple):
    """A home full of canaries, and the environment of its owner."""

    home: Path
    environ: dict[str, str]
    canaries: dict[str, str]


def word(number: int) -> str:
    """A canary that looks like nothing else, with letters and digits as tokens have them."""
    return f"cnry{number:02d}" + "".join(chr(97 + (number * 7 + place * 11) % 26) for place in range(14)) + "9Z"


USER, HOST = "cnryuser7q", "cnryhost3x"
LOGIN = "{user}:{password}"
# One canary for each pair of braces. Addresses are of a host that is nobody's secret.
ENVIRONMENT = {
    "HTTPS_PROXY": "http://{}:{}@127.0.0.1:9/",
    "http_proxy": "http://{}@127.0.0.1:9/",
    "ALL_PROXY": "socks5h://{}:{}@127.0.0.1:9",
    "PIP_INDEX_URL": "https://{}:{}@index.example/simple/",
    "PIP_EXTRA_INDEX_URL": "https://index.example/{}/simple https://{}@other.example/simple?token={}",
    "PIP_FIND_LINKS": "https://files.example/whl?sig={}#{}",
    "PIP_PROXY": "http://{}:{}@127.0.0.1:9",
    "PIP_CLIENT_CERT": "~/client.pem",
    "UV_DEFAULT_INDEX": "https://{}:{}@index.example/simple",
    "UV_INDEX": "inner=https://{}:{}@index.example/uv",
    "UV_EXTRA_INDEX_URL": "https://__token__:{}@index.example/pypi",
    "UV_INDEX_INNER_PASSWORD": "{}",
    "UV_INDEX_INNER_USERNAME": "{}",
    "UV_PUBLISH_TOKEN": "pypi-{}",
    "CONDA_CHANNEL_ALIAS": "https://conda.example/t/{}/get",
    "ANACONDA_API_TOKEN": "{}",
    "HF_TOKEN": "hf_{}",
    "WANDB_API_KEY": "{}",
    "GITHUB_TOKEN": "ghp_{}",
    "AWS_SECRET_ACCESS_KEY": "{}/{}",
    "AZURE_CLIENT_SECRET": "{}",
    "MY_PASSWORD": "{}",
    "REGISTRY_CREDENTIALS": "{}",
    "TWINE_PASSWORD": "{}",
    "NPM_CONFIG__AUTH": "{}",
    "GITLAB_PAT": "glpat-{}",
    "SECRET_OF_SOMETHING": "{}",
    "UNKNOWN_TO_ANYBODY": "{}",
    "LD_LIBRARY_PATH": "~/lib:/data/$USER/lib:/srv/cuda/lib64",
    "LD_PRELOAD": "~/lib/hook.so",
    "PYTHONPATH": "~/src:/data/$USER/src",
    "CUDA_HOME": "~/cuda",
    "TORCH_HOME": "/mnt/home/$USER/torch",
    "CUDA_VISIBLE_DEVICES": "GPU-3f2b8c1e-1111-2222-3333-444455556666",
    "NCCL_TOPO_FILE": "/home/$USER/topo.xml",
    "PYTORCH_KERNEL_CACHE_PATH": "~/kernels",
    "XLA_FLAGS": "--xla_dump_to=/home/$USER/dump",
    "SSH_CONNECTION": "203.0.113.77 51000 203.0.113.78 22",
    "SLURM_JOB_ID": "4711",
}
FILES = {
    ".config/pip/pip.conf": """[global]
index-url = https://{}:{}@index.example/simple/
extra-index-url =
    https://index.example/{}/simple
    https://{}@other.example/simple
proxy = http://{}:{}@127.0.0.1:9
trusted-host = index.example
client-cert = ~/client.pem
[install]
find-links = https://files.example/whl?signature={}
""",
    ".config/uv/uv.toml": """[[index]]
name = "inner"
url = "https://{}:{}@index.example/uv"
[pip]
extra-index-url = ["https://{}@other.example/uv"]
""",
    ".condarc": """channels:
  - https://conda.example/t/{}/main
  - https://{}:{}@conda.example/extra
custom_channels:
  inner: https://{}:{}@conda.example
proxy_servers:
  https: http://{}:{}@127.0.0.1:9
ssl_verify: ~/certificates.pem
""",
    ".netrc": "machine index.example login {} password {}\n",
    "work/pip.conf": "[global]\nindex-url = https://{}@index.example/simple\n",
    "work/uv.toml": 'index-url = "https://{}:{}@index.example/simple"\n',
}
RAISED = (
    "https://{}:{}@index.example/wheel.whl?X-Amz-Signature={}&t=1 refused",
    "~/env/lib/libtorch.so of $USER at " + HOST + ": GPU-3f2b8c1e-1111-2222-3333-444455556666 at 203.0.113.77:22",
)


@cache
def nest(home: Path) -> Nest:
    """Everything filled in, and the names of the canaries by where each sits."""
    canaries: dict[str, str] = {"user": USER, "host": HOST, "home": str(home), "address": "203.0.113.77"}
    canaries["uuid"] = "3f2b8c1e"

    def filled(where: str, text: str) -> str:
        head, *rest = text.split("{}")
        for part in rest:
            canary = word(len(canaries))
            canaries[f"{where} {len(canaries)}"] = canary
            head += canary + part
        return head.replace("~", str(home)).replace("$USER", USER)

    environ = {name: filled(name, value) for name, value in ENVIRONMENT.items()}
    environ |= {"HOME": str(home), "USER": USER, "LOGNAME": USER, "HOSTNAME": HOST, "PATH": f"{home}/bin:/usr/bin:/bin"}
    for name, text in FILES.items():
        place = home / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(filled(name, text), "utf-8")
    said = " | ".join(filled(f"raised {number}", text) for number, text in enumerate(RAISED))
    said += f" key {environ['HF_TOKEN']} and {environ['WANDB_API_KEY']}"
    (home / "said.txt").write_text(said, "utf-8")
    return Nest(home, environ, canaries)


@pytest.fixture(scope="module")
def owner(tmp_path_factory: pytest.TempPathFactory) -> Nest:
    return nest(tmp_path_factory.mktemp("cnryhome"))


def leaks(owner: Nest, *texts: str) -> list[str]:
    """Where the canaries sat that can be found in what was written."""
    whole = "\n".join(texts).lower()
    return [where for where, canary in owner.canaries.items() if canary.lower() in whole]


def everything(owner: Nest, *argv: str, folder: Path) -> list[Result]:
    """All faces, everything verbose, a snapshot and what it is read back as."""
    saved = folder / "saved.json"
    ended = [
        invoke("doctor", *argv, "--format", face, "-v", "--save", saved, environ=owner.environ)
        for face in ("console", "json", "markdown")
    ]
    ended.append(invoke("snapshot", *argv, environ=owner.environ))
    ended += [invoke("doctor", "--from", saved, "--format", face, "-v") for face in ("console", "json", "markdown")]
    ended.append(Result(0, saved.read_text("utf-8"), ""))
    return ended


def test_there_are_many_canaries(owner: Nest) -> None:
    assert len(owner.canaries) >= 60


def test_nothing_of_environment_and_files_gets_out(
    owner: Nest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(owner.home / "work")
    ended = everything(owner, "--python", sys.executable, "--no-torch", folder=tmp_path)
    facts = json.loads(ended[1].out)["facts"]
    assert len(facts["settings"]) >= 15, "the channels were read"
    assert len(facts["proxies"]) >= 4
    assert len(facts["variables"]) >= 8
    assert leaks(owner, *(one.out for one in ended), *(one.err for one in ended)) == []


@pytest.mark.parametrize("stage", ["import", "is_available", "cpu"])
@pytest.mark.parametrize("how", ["raise OSError(said)", "import warnings; warnings.warn(said)", "print(said)"])
def test_nothing_that_torch_says_gets_out(
    owner: Nest, stage: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoken = f"said = open({str(owner.home / 'said.txt')!r}).read(); {how}"
    monkeypatch.setitem(faketorch.FAULTS, "canary", spoken)
    site = faketorch.write(owner.home / "src" / tmp_path.name, fault="canary", stage=stage)
    environ = {**owner.environ, "PYTHONPATH": f"{site}:{owner.environ['PYTHONPATH']}"}
    ended = everything(Nest(owner.home, environ, owner.canaries), "--python", sys.executable, folder=tmp_path)
    if how.startswith("raise") and stage == "import":
        assert "refused" in ended[1].out, "its words were kept"
    assert leaks(owner, *(one.out for one in ended), *(one.err for one in ended)) == []


def test_errors_name_no_secret(owner: Nest) -> None:
    ended = [
        invoke("doctor", "--python", str(owner.home / "env" / "none"), environ=owner.environ),
        invoke("doctor", "--python", "/etc/passwd", environ=owner.environ),
        invoke("mirrors", "list", environ=owner.environ),
        invoke("install", "--dry-run", "--python", sys.executable, environ=owner.environ),
    ]
    kept = {where for where in leaks(owner, *(one.out + one.err for one in ended)) if where != "home"}
    assert kept == set(), "what was typed stands as it was typed, nothing else does"
