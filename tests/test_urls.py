"""Addresses: parts, and no credential that survives."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envcheck.model.urls import Address, host_of, is_loopback, split, without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://pypi.tuna.tsinghua.edu.cn/simple", "https://pypi.tuna.tsinghua.edu.cn/simple"),
        ("https://mirrors.aliyun.com/pypi/simple/", "https://mirrors.aliyun.com/pypi/simple/"),
        ("https://bob:pw@Host.example:8443/simple/", "https://host.example:8443/simple/"),
        ("https://token@host.example/simple", "https://host.example/simple"),
        ("https://host.example/simple?key=secret#frag", "https://host.example/simple"),
        ("bob:pw@proxy:8080", "proxy:8080"),
        ("//bob:pw@proxy:8080", "proxy:8080"),
        ("proxy:8080", "proxy:8080"),
        ("socks5h://127.0.0.1:7890", "socks5h://127.0.0.1:7890"),
        ("http://bob:p@ss@host", "http://host"),
        ("http://bob:pa/ss@host/x", "http://****"),
        ("http://bob:p#ss@host", "http://****"),
        ("http://bob:p ss@host", "http://host"),
        ("http://bob:pass", "http://****"),
        ("http://[::1]:7890/x", "http://[::1]:7890/x"),
        ("http://u:p@[2001:DB8::2]", "http://[2001:db8::2]"),
        ("http://[::1", "http://****"),
        ("http://host:99999/", "http://****"),
        ("https://conda.example/t/ab-123-secret/main", "https://conda.example/t/****/main"),
        ("https://host.example/Zq9f8e7d6c5b4a3f2e1d0/simple", "https://host.example/****/simple"),
        ("/opt/wheels/with@sign", "/opt/wheels/with@sign"),
        ("C:\\wheels\\torch", "C:\\wheels\\torch"),
        ("\\\\server\\share", "\\\\server\\share"),
        ("~/wheels", "~/wheels"),
        ("file:///opt/wheels", "file:///opt/wheels"),
        ("", ""),
    ],
)
def test_shown_address(text: str, shown: str) -> None:
    assert without_credentials(text) == shown


def test_parts() -> None:
    assert split("HTTPS://u:p@Example.ORG:80/a/b?q") == Address("https", "example.org", 80, "/a/b")
    assert split("proxy:3128") == Address("", "proxy", 3128, "")
    assert split("x" * 3000) is None
    assert host_of("conda-forge") is None
    assert host_of("https://mirrors.ustc.edu.cn/anaconda") == "mirrors.ustc.edu.cn"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1.2.3", "::1", "me.localhost"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)
    assert not is_loopback("128.0.0.1")


SECRET = st.text(string.ascii_letters + string.digits + "@:/#?%&=+ []\\", max_size=8).map(lambda text: f"S3c{text}reT")


@given(
    scheme=st.sampled_from(["http://", "https://", "socks5://", "", "//"]),
    user=st.sampled_from(["bob:", "", "b@b:", "a/b:", ":"]),
    secret=SECRET,
    rest=st.sampled_from(["@host", "@host:8080", "@host/simple", "@[::1]:80/x", "@host/t/S3creT/x"]),
)
def test_no_password_survives(scheme: str, user: str, secret: str, rest: str) -> None:
    shown = without_credentials(scheme + user + secret + rest)
    assert "S3c" not in shown
    assert "reT" not in shown


@given(st.text(max_size=200))
def test_any_text_is_taken(text: str) -> None:
    once = without_credentials(text)
    assert without_credentials(once) == once
