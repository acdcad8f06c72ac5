"""What belongs to a person stays on their machine: a list of canaries, and equal things stay equal."""

from pathlib import Path

import msgspec
import pytest
from helpers import faketorch
from hypothesis import given
from hypothesis import strategies as st

from envcheck.model.codec import encode
from envcheck.model.facts import (
    Environment,
    Facts,
    Gpu,
    Host,
    Message,
    Nvidia,
    Package,
    Proxy,
    Python,
    Route,
    Setting,
    Torch,
    TorchDevice,
    Variable,
)
from envcheck.probes.collect import Options, collect
from envcheck.probes.redact import Secrets, redact, secrets_of
from envcheck.probes.system import System

ADA = Secrets(homes=("/home/ada",), user="ada", hosts=("box-17.corp.example", "box-17"), words=("hunter2",))


def struck(text: str, secrets: Secrets = ADA) -> str:
    facts = redact(Facts(messages=(Message(kind="error", text=text, look="torch"),)), secrets)
    return facts.messages[0].text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/ada/.venv/lib", "~/.venv/lib"),
        ("/home/ada", "~"),
        ("see /home/ada now", "see ~ now"),
        ("file:///home/ada/x", "file://~/x"),
        ("/home/ada2/x", "/home/user/x"),
        ("/mnt/home/ada/x", "/mnt/home/$USER/x"),
        ("a:/home/ada/b:/home/ada/c", "a:~/b:~/c"),
        ("/home/bob/x and /Users/carol/y", "/home/user/x and /Users/user/y"),
        ("/Users/Shared/x", "/Users/Shared/x"),
        ("/data/ada/env/bin/python", "/data/$USER/env/bin/python"),
        ("/data/ada_env/x", "/data/user_env/x"),
        ("/data/canada/x", "/data/canada/x"),
        ("ada", "ada"),
        ("user ada@box-17 said", "user $USER@host said"),
        ("at box-17.corp.example: no", "at host: no"),
        ("a box-170 b", "a box-170 b"),
        ("password hunter2!", "password ****!"),
        ("at https://u:p@h.example/simple?token=x#y now", "at https://h.example/simple now"),
        ("https://u:p/w@h/x", "https://****"),
        ("proxy bob:secret@proxy:8080 refused", "proxy ****@proxy:8080 refused"),
        ("bob:pw@proxy.corp.example", "****@proxy.corp.example"),
        ("libx.so: undefined symbol: memcpy@GLIBC_2.14", "libx.so: undefined symbol: memcpy@GLIBC_2.14"),
        ("libcublas 12.4.5.8 with cuDNN 9.1.0.70", "libcublas 12.4.5.8 with cuDNN 9.1.0.70"),
        ("connect to 10.1.2.3 failed", "connect to 192.0.2.1 failed"),
        ("10.1.2.3:8080 and 10.1.2.4:1 and 10.1.2.3:1", "192.0.2.1:8080 and 192.0.2.2:1 and 192.0.2.1:1"),
        ("127.0.0.1:7890 refused", "127.0.0.1:7890 refused"),
        (
            "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6 lost",
            "GPU-00000000-0000-0000-0000-000000000001 lost",
        ),
        ("RuntimeError: no kernel image is available", "RuntimeError: no kernel image is available"),
    ],
)
def test_one_text(text: str, expected: str) -> None:
    assert struck(text) == expected
    assert struck(expected) == expected


def test_names_that_identify_nobody_stay() -> None:
    for name in ("root", "ubuntu", "torch", "nvidia"):
        system = System(environ={"HOME": f"/home/{name}", "USER": name, "HOSTNAME": "localhost"}, root="/nowhere")
        secrets = secrets_of(system)
        assert secrets.user is None
        assert secrets.hosts == ()
        assert struck(f"/usr/lib/{name}/x of {name}", secrets) == f"/usr/lib/{name}/x of {name}"


def test_windows_paths() -> None:
    system = System("/nowhere", {"USERPROFILE": "C:\\Users\\Ada L", "USERNAME": "Ada L"}, platform="win32")
    secrets = secrets_of(system)
    assert struck("C:\\Users\\Ada L\\env\\python.exe -m x", secrets) == "~\\env\\python.exe -m x"
    assert struck("c:\\users\\ada l\\env\\x", secrets) == "~\\env\\x"
    assert struck("D:\\Ada L\\x", secrets) == "D:\\$USER\\x"
    assert struck("C:\\Users\\Bob\\x", secrets) == "C:\\Users\\user\\x"


def test_equal_things_stay_equal() -> None:
    uuid = "8932f937-d72c-4106-c12f-20bd9faed9f6"
    other = "11111111-d72c-4106-c12f-20bd9faed9f6"
    facts = Facts(
        nvidia=Nvidia(gpus=(Gpu(index=0, uuid=f"GPU-{other}"), Gpu(index=1, uuid=f"GPU-{uuid}"))),
        torch=Torch(devices=(TorchDevice(kind="cuda", index=0, uuid=uuid),)),
        variables=(Variable(name="CUDA_VISIBLE_DEVICES", value=f"GPU-8932f937,GPU-99999999,GPU-{uuid}"),),
        proxies=(Proxy(scheme="https", url="http://10.9.8.7:3128", origin="HTTPS_PROXY"),),
        routes=(Route(host="x", proxy="http://10.9.8.7:3128", address="2001:470::1"),),
        packages=(Package(name="ada", version="12.4.5.8"),),
    )
    seen = redact(facts, ADA)
    assert seen.nvidia.gpus is not None
    assert seen.torch.devices is not None
    assert seen.variables is not None
    assert seen.proxies is not None
    assert seen.routes is not None
    second = seen.nvidia.gpus[1].uuid
    assert second == f"GPU-{seen.torch.devices[0].uuid}"
    listed = (seen.variables[0].value or "").split(",")
    assert listed[0] == listed[2] == second
    assert listed[1] not in (second, seen.nvidia.gpus[0].uuid)
    assert seen.proxies[0].url == seen.routes[0].proxy == "http://192.0.2.1:3128"
    assert seen.packages == facts.packages
    assert redact(seen, ADA) == seen


def test_secrets_of_an_environment() -> None:
    environ = {
        "HTTPS_PROXY": "http://bob:s3cr%40t@proxy:3128",
        "ALL_PROXY": "carol:p w@proxy:1080",
        "PIP_INDEX_URL": "https://tok-en:x-oauth@pkgs.example/simple",
        "PIP_EXTRA_INDEX_URL": "https://a:first1@x/simple https://b:second2@y/simple?sig=abcdefgh",
        "HF_TOKEN": "hf_abcDEF123",
        "GITHUB_PAT": "ghp_X1234567",
        "SSH_AUTH_SOCK": "/tmp/ssh-x/agent.1",
        "USE_AUTH": "enabled",
        "SSH_CONNECTION": "10.0.0.5 5000 10.0.0.6 22",
        "NOTE": "mail me@x.org",
    }
    secrets = secrets_of(System("/nowhere", environ))
    expected = {"s3cr%40t", "s3cr@t", "bob", "carol", "p w", "x-oauth", "tok-en", "first1", "second2", "abcdefgh"}
    assert expected | {"hf_abcDEF123", "ghp_X1234567"} == set(secrets.words)
    assert secrets.addresses == ("10.0.0.5", "10.0.0.6")


CANARIES = {
    "HTTP_PROXY": "http://canaryuser01:canarypass02@10.77.0.3:3128",
    "HTTPS_PROXY": "http://canaryuser04:canary%2Fpass05@proxy.corp.example:3128",
    "ALL_PROXY": "socks5://canaryuser06:canarypass07@127.0.0.1:9",
    "NO_PROXY": "localhost",
    "PIP_INDEX_URL": "https://canaryuser08:canarypass09@pkgs.example/t/canarytoken10x/simple",
    "PIP_EXTRA_INDEX_URL": "https://pkgs.example/simple?key=canarytoken11",
    "UV_INDEX": "name=https://canaryuser12:canarypass13@uv.example/simple",
    "UV_DEFAULT_INDEX": "https://uv.example/simple/canarytoken14canarytoken14a",
    "HF_TOKEN": "canarytoken15",
    "WANDB_API_KEY": "canarytoken16",
    "AWS_SECRET_ACCESS_KEY": "canarytoken17",
    "MY_PASSWORD": "canarypass18",
    "SSH_CONNECTION": "10.77.0.19 1 10.77.0.20 22",
    "LD_LIBRARY_PATH": "/home/canaryother21/lib:/data/canaryuser22/lib",
    "PYTORCH_CUDA_ALLOC_CONF": "https://canaryuser23:canarypass24@x.example",
    "EDITOR": "canarynoise25",
    "PROMPT": "canarynoise26",
    "USER": "canaryuser22",
    "LOGNAME": "canaryuser22",
}
FILES = {
    "home/.config/pip/pip.conf": (
        "[global]\nindex-url = https://canaryuser27:canarypass28@conf.example/simple\n"
        "proxy = http://canaryuser29:canarypass30@10.77.0.31:1\n"
    ),
    "home/.condarc": (
        "channels:\n  - https://canaryuser32:canarypass33@conda.example/t/canarytoken34x/main\n"
        "proxy_servers:\n  https: http://canaryuser35:canarypass36@10.77.0.37:1\n"
    ),
    "home/.config/uv/uv.toml": '[[index]]\nurl = "https://canaryuser38:canarypass39@toml.example/simple"\n',
}
SPOKEN = """
    import sys, warnings
    warnings.warn("at http://canaryuser40:canarypass41@warn.example/x?sig=canarytoken42")
    print("canarypass02 canary/pass05 canarytoken15 canarytoken17 and 10.77.0.3:3128 from 10.77.0.19")
    print("GPU-canary not", "GPU-c0ffee43-d72c-4106-c12f-20bd9faed9f6")
    text = " for canaryuser22 at canarypass18 via //canaryuser44:canarypw45@h.example:1"
    raise RuntimeError("cannot open " + __file__ + text)
"""


def test_no_canary_in_the_facts(tmp_path: Path, bare_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "canaryhome46"
    for name, text in FILES.items():
        path = tmp_path / name.replace("home/", "canaryhome46/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setitem(faketorch.FAULTS, "speak", "\n".join(line.strip() for line in SPOKEN.strip().split("\n")))
    site = faketorch.write(home / "site", fault="speak")
    environ = CANARIES | {
        "HOME": str(home),
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(site),
        "VIRTUAL_ENV": f"{home}/env",
    }
    system = System(environ=environ)
    monkeypatch.setattr(System, "hostname", lambda _: "canaryhost47.corp.example")
    monkeypatch.setattr(System, "groups", lambda _: ("canarygroup48", "video"))
    text = encode(collect(system, Options(python=bare_python, deadline=30))).decode()
    assert "conf.example" in text
    assert "conda.example" in text
    assert "toml.example" in text
    assert "warn.example" in text
    assert "cannot open ~/site/torch/__init__.py" in text
    assert "canary" not in text.replace("GPU-canary not", "")
    assert "c0ffee43" not in text
    assert "10.77.0." not in text


@given(st.text(max_size=60), st.text(max_size=10))
def test_a_known_secret_is_nowhere(text: str, around: str) -> None:
    facts = Facts(
        host=Host(os_name=around + "hunter2" + around, groups=("video", "hunter2")),
        python=Python(path=text + "hunter2", candidates=(Environment(path="hunter2" + text, chosen_by="hunter2"),)),
        settings=(Setting(tool="pip", key="k", value=around + "hunter2", origin="hunter2"),),
        messages=(Message(kind="log", text=text + "hunter2" + around, look="x", where="hunter2"),),
    )
    assert b"hunter2" not in msgspec.json.encode(redact(facts, ADA))


@given(st.text(alphabet="/:@ab.~-[]% \\homeadusr10GPU$", max_size=80))
def test_twice_is_once(text: str) -> None:
    once = struck(text)
    assert struck(once) == once


@pytest.mark.parametrize(
    "text", ["https://a:" * 10_000, "a:b@" * 20_000, "/home/" * 20_000, "10.1.1." * 20_000, "a@" * 50_000]
)
def test_hostile_texts_take_no_time_to_speak_of(text: str) -> None:
    assert len(struck(text)) <= 2 * len(text) + 100
