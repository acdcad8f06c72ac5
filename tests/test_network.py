"""Proxies and routes, from environments, files, printed system settings, and real sockets on loopback."""

import socket
from pathlib import Path
from urllib.request import getproxies_environment, proxy_bypass_environment

import pytest
from helpers.web import Page, closed_port, serve, speaker
from hypothesis import example, given
from hypothesis import strategies as st

from envcheck.model.facts import Facts, Proxy, Python, Route, Setting
from envcheck.probes import proxies
from envcheck.probes.network import DEFAULT_INDEX, before_download, hosts_of_interest, look, preflight
from envcheck.probes.system import Fetched, System

TORCH = "download.pytorch.org"
TUNA = "pypi.tuna.tsinghua.edu.cn"
HTTP = "http://corp.example:3128"


def on(environ: dict[str, str], root: Path | None = None, platform: str = "linux") -> System:
    return System(root or "/", environ, platform)


def setting(tool: str, key: str, value: str, effective: bool = True) -> Setting:
    return Setting(tool=tool, key=key, value=value, origin=f"/{tool}:1", effective=effective)


def routes(environ: dict[str, str], *settings: Setting) -> dict[tuple[str | None, str], tuple[str | None, str | None]]:
    return {(one.tool, one.host): (one.proxy, one.why) for one in look(on(environ), settings)[1]}


def test_plain_machine_is_direct() -> None:
    found, ways, (seen,) = look(on({}), ())
    assert found == ()
    assert ways == (Route(host=TORCH), Route(host=DEFAULT_INDEX))
    assert (seen.look, seen.state) == ("proxies", "ok")


def test_proxy_from_the_environment_without_its_password() -> None:
    environ = {"HTTPS_PROXY": "http://bob:p@ss@corp.example:3128/", "http_proxy": "http://other:1"}
    assert routes(environ)[None, TORCH] == ("http://corp.example:3128/", "HTTPS_PROXY")
    assert "p@ss" not in repr(look(on(environ), ()))


def test_no_proxy_and_unnamed_default_index() -> None:
    environ = {"HTTPS_PROXY": HTTP, "NO_PROXY": "localhost, .tsinghua.edu.cn"}
    mirror = setting("uv", "default-index", f"https://{TUNA}/simple")
    assert routes(environ, mirror) == {(None, TORCH): (HTTP, "HTTPS_PROXY"), (None, TUNA): (None, "NO_PROXY")}
    assert routes({"HTTPS_PROXY": HTTP, "no_proxy": "*"})[None, DEFAULT_INDEX] == (None, "no_proxy")


def test_tools_own_proxies_ignore_no_proxy() -> None:
    environ = {"https_proxy": HTTP, "no_proxy": "*"}
    own = setting("conda", "proxy_servers.https", "http://127.0.0.1:9")
    unused = setting("pip", "proxy", "http://old:1", effective=False)
    found = routes(environ, own, unused)
    assert found["conda", TORCH] == ("http://127.0.0.1:9", "/conda:1")
    assert found[None, TORCH] == (None, "no_proxy")
    assert not any(tool == "pip" for tool, _ in found)


def test_hosts_of_interest() -> None:
    settings = (
        setting("pip", "index-url", f"https://{TUNA}/simple"),
        setting("pip", "find-links", "/opt/wheels"),
        setting("conda", "channels", "conda-forge"),
        setting("conda", "custom_channels.pytorch", "https://mirrors.ustc.edu.cn/anaconda/cloud"),
        setting("conda", "channel_alias", "https://off.example", effective=False),
        setting("conda", "ssl_verify", "https://not-a-source.example"),
    )
    assert hosts_of_interest(settings) == (TORCH, TUNA, "mirrors.ustc.edu.cn")


NAMES = [
    "http_proxy",
    "HTTP_PROXY",
    "https_proxy",
    "HTTPS_PROXY",
    "Https_Proxy",
    "all_proxy",
    "ALL_PROXY",
    "no_proxy",
    "NO_PROXY",
]
VALUES = st.sampled_from(["", "http://a:1", "b:2", "socks5://c:3"])


@given(st.dictionaries(st.sampled_from([*NAMES, "REQUEST_METHOD"]), VALUES))
def test_environment_as_urllib_reads_it(environ: dict[str, str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.environ", environ)
        wanted = getproxies_environment()
    shared, bypass = proxies.from_environment(environ)
    assert {one.scheme: one.url for one in shared} == {key: value for key, value in wanted.items() if key != "no"}
    assert ",".join(bypass.items) == wanted.get("no", "")


HOSTS = st.sampled_from(["a.edu.cn", "b.a.edu.cn", "xa.edu.cn", "cn", "10.0.0.1", "A.EDU.CN"])
LISTS = st.lists(
    st.sampled_from(["a.edu.cn", ".a.edu.cn", "*", "edu.cn:443", "cn", " .EDU.cn ", "10.0.0.0/8", "", "a"]), max_size=4
)


@given(HOSTS, LISTS.map(",".join))
def test_exceptions_as_urllib_matches_them(host: str, listed: str) -> None:
    if "*" in listed and listed != "*":
        return  # urllib wants the star alone, requests takes it anywhere
    _, bypass = proxies.from_environment({"no_proxy": listed, "https_proxy": HTTP})
    assert bypass.covers(host) is bool(proxy_bypass_environment(f"{host}:443", {"no": listed}))


REGISTRY = """
HKEY_CURRENT_USER\\Software\\Microsoft\\Windows\\CurrentVersion\\Internet Settings
    ProxyEnable    REG_DWORD    0x1
    ProxyServer    REG_SZ    {server}
    ProxyOverride    REG_SZ    localhost;127.*;*.edu.cn;<local>
"""


@pytest.mark.parametrize(
    ("server", "urls"),
    [
        ("127.0.0.1:7890", {"http": "http://127.0.0.1:7890", "https": "http://127.0.0.1:7890"}),
        ("http=a:1;https=https://b:2", {"http": "http://a:1", "https": "https://b:2"}),
        ("socks=c:3", {"http": "socks4://c:3", "https": "socks4://c:3"}),
        ("ftp=d:4", {}),
    ],
)
def test_windows_settings(server: str, urls: dict[str, str]) -> None:
    shared, bypass = proxies.windows_settings(REGISTRY.format(server=server))
    assert {one.scheme: one.url for one in shared} == urls
    assert [bypass.covers(host) for host in ("nas", "mirrors.tuna.tsinghua.edu.cn", TORCH)] == [True, True, False]
    assert proxies.windows_settings(REGISTRY.format(server=server).replace("0x1", "0x0"))[0] == ()


SCUTIL = """<dictionary> {
  ExceptionsList : <array> {
    0 : *.edu.cn
    1 : 169.254/16
  }
  ExcludeSimpleHostnames : 1
  HTTPEnable : 0
  HTTPProxy : old
  HTTPSEnable : 1
  HTTPSPort : 7890
  HTTPSProxy : 127.0.0.1
  SOCKSEnable : 1
  SOCKSProxy : 127.0.0.1
}
"""


def test_macos_settings() -> None:
    shared, bypass = proxies.macos_settings(SCUTIL)
    assert shared == (proxies.Configured("https", "http://127.0.0.1:7890", "macOS settings"),)
    assert [bypass.covers(host) for host in ("nas", TUNA, TORCH)] == [True, True, False]


@pytest.mark.parametrize("platform", ["win32", "darwin"])
def test_system_settings_count_when_no_variable_is_set(tmp_path: Path, platform: str) -> None:
    windows = platform == "win32"
    program = tmp_path / ("C/Windows/System32/reg.exe" if windows else "usr/sbin/scutil")
    program.parent.mkdir(parents=True)
    text = REGISTRY.format(server="127.0.0.1:9") if windows else SCUTIL.replace("7890", "9")
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\n")
    program.chmod(0o755)
    found = look(on({}, tmp_path, platform), ())[0]
    assert {one.url for one in found} == {"http://127.0.0.1:9"}
    assert {one.answers for one in found} == {False}
    assert look(on({"HTTPS_PROXY": HTTP}, tmp_path, platform), ())[0][0].origin == "HTTPS_PROXY"
    assert look(on({"NO_PROXY": "x"}, tmp_path, platform), ())[0] == ()


@example(" : ")
@example("  ExceptionsList : \n  HTTPEnable : 1\n  HTTPProxy : \n")
@given(st.text(max_size=400))
def test_any_printed_settings_are_taken(printed: str) -> None:
    proxies.windows_settings(printed)
    proxies.macos_settings(printed)
    proxies.windows_settings(REGISTRY.format(server=printed))


def test_loopback_proxies_are_asked_others_not() -> None:
    with serve() as site:
        environ = {
            "http_proxy": f"127.0.0.1:{closed_port()}",
            "https_proxy": site.url(),
            "all_proxy": "socks5://192.0.2.1:1080",
        }
        found = {one.scheme: one for one in look(on(environ), (), Python())[0]}
        assert (found["http"].answers, found["https"].answers, found["all"].answers) == (False, True, None)
        assert site.asked == []


def test_socks_support(tmp_path: Path) -> None:
    environ = {"ALL_PROXY": "socks5h://192.0.2.1:1080"}
    root = tmp_path / "opt/conda"
    (root / "conda-meta").mkdir(parents=True)
    own = setting("conda", "proxy_servers.https", "socks5://192.0.2.1:1")
    uv = setting("uv", "https-proxy", "socks5://192.0.2.1:1")

    def support(python: Python) -> dict[str | None, bool | None]:
        system = System("/", environ | {"CONDA_EXE": str(root / "bin/conda")}, "linux")
        return {one.tool: one.socks_supported for one in look(system, (own, uv), python)[0]}

    assert support(Python()) == {None: None, "conda": False, "uv": True}
    assert support(Python(sys_path=("", str(tmp_path))))[None] is False
    (tmp_path / "socks.py").touch()
    (root / "conda-meta/pysocks-1.7.1-py312_1.json").touch()
    assert support(Python(sys_path=("", str(tmp_path)))) == {None: True, "conda": True, "uv": True}


@pytest.mark.parametrize(
    ("value", "url"),
    [("http://bob:pass", "http://****"), ("http://[::1", "http://****"), ("http://h:99999", "http://****")],
)
def test_unreadable_proxy_is_hidden_and_not_asked(value: str, url: str) -> None:
    assert look(on({"HTTPS_PROXY": value}), ())[0] == (Proxy(scheme="https", url=url, origin="HTTPS_PROXY"),)


@pytest.mark.parametrize(
    ("answer", "error"),
    [(Page(status=407), "PROXY"), (Page(status=403), "PROXY"), (Page(status=502), "PROXY")],
)
def test_preflight_through_a_proxy_that_refuses(answer: Page, error: str) -> None:
    with serve({f"{TUNA}:443": answer}) as site:
        found, (way,), (seen,) = preflight(on({"HTTPS_PROXY": site.url()}), [TUNA])
        assert (way.host, way.error, way.asked, way.address) == (TUNA, error, True, None)
        assert (found[0].answers, seen.look) == (True, "preflight")
        assert site.asked[0][:2] == ("CONNECT", f"{TUNA}:443")


def _accept_then_close(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
    connection.recv(4096)


def test_preflight_through_a_proxy_whose_node_is_dead() -> None:
    with speaker(_accept_then_close) as port:
        _, (way,), _ = preflight(on({"HTTPS_PROXY": f"http://127.0.0.1:{port}"}), [TUNA])
    assert way.error == "PROXY"


def test_preflight_through_a_closed_proxy() -> None:
    environ = {"HTTPS_PROXY": f"http://127.0.0.1:{closed_port()}"}
    found, (way,), _ = preflight(on(environ), [TUNA])
    assert (found[0].answers, way.error) == (False, "REFUSED")


class _Resolving(System):
    def resolve(self, host: str, limit: float) -> tuple[str, ...] | None:
        return {"vpn.example": ("198.18.0.7",)}.get(host)

    def fetch(self, url: str, **_: object) -> Fetched:  # type: ignore[override]  # no test leaves the machine
        return Fetched(url, None, {}, b"", "TIMEOUT", None, 1.0)


def test_preflight_tells_what_names_resolve_to() -> None:
    system = _Resolving("/", {"NO_PROXY": "*", "HTTPS_PROXY": HTTP}, "linux")
    _, ways, _ = preflight(system, ["vpn.example", "gone.example"], limit=0.3)
    assert [(way.address, way.asked) for way in ways] == [("198.18.0.7", True), (None, True)]
    assert [way.error for way in ways] == ["TIMEOUT", "DNS"]


def test_preflight_does_not_ask_through_a_tools_own_proxy() -> None:
    own = setting("pip", "proxy", f"http://127.0.0.1:{closed_port()}")
    _, ways, _ = preflight(_Resolving("/", {}, "linux"), ["gone.example"], (own,))
    assert [(way.tool, way.asked, way.error) for way in ways] == [(None, True, "DNS"), ("pip", False, None)]


def test_before_download_asks_the_hosts_that_a_command_names(tmp_path: Path) -> None:
    dead = f"http://127.0.0.1:{closed_port()}"
    environ = {"https_proxy": dead, "HOME": "/home/ada", "PIP_INDEX_URL": f"https://{TUNA}/simple", "UV_NO_CONFIG": "1"}
    argv = ["python", "-m", "pip", "install", "torch", "--index-url", "https://bob:pw@mirror.example/whl/cu126"]
    seen = before_download(on(environ, tmp_path), Facts(), argv)
    ways = [(way.host, way.error, way.asked) for way in seen.routes or ()]
    assert ways == [("mirror.example", "REFUSED", True), (TUNA, "REFUSED", True)]
    assert [one.answers for one in seen.proxies or ()] == [False]
    assert [one.look for one in seen.observations] == ["preflight"]
    seen = before_download(on(environ, tmp_path), Facts(), ["conda", "install", "pytorch-gpu"])
    assert [way.host for way in seen.routes or ()] == [TUNA]


def test_this_machine_itself_is_not_asked() -> None:
    with serve() as site:
        _, (way,), _ = preflight(on({}), [site.url("/simple")])
        assert (way.host, way.asked, site.asked) == ("127.0.0.1", False, [])


def test_plain_http_hosts_are_asked_as_named() -> None:
    with serve({"http://mirror.example:8080/": Page(status=407)}) as proxy:
        _, (way,), _ = preflight(
            on({"http_proxy": proxy.url(), "https_proxy": proxy.url()}), ["http://mirror.example:8080/simple"]
        )
        assert way.error == "HTTP 407"
        proxy.pages["http://mirror.example:8080/"] = Page(status=403)
        _, (way,), _ = preflight(
            on({"http_proxy": proxy.url(), "https_proxy": proxy.url()}), ["http://mirror.example:8080/simple"]
        )
        assert way.error is None
