"""The mirror files: every record sourced, names found or suggested, foreign files refused with their place."""

import re
from datetime import date, datetime, timezone
from pathlib import Path

import pytest

from envcheck.catalogue.files import official_host
from envcheck.catalogue.mirrors import NEVER_ADDED, Mirror, mirror, mirror_of, mirrors, official
from envcheck.model.errors import EnvcheckError
from envcheck.model.urls import host_of

SHIPPED = mirrors()
RECORDS = [(one.name, kind) for one in SHIPPED.values() for kind in one.records]
SOURCE = re.compile(
    r"[\w.-]+/[\w.-]+(#[0-9]+| @[0-9a-f]{7}| [\w./-]+|)"
    r"|(conda|torch's page|configurations in|measurements in|no page|absent from) "
)


def test_those_that_people_ask_for_are_there() -> None:
    assert {"tuna", "bfsu", "ustc", "sjtu", "nju", "aliyun", "sustech", "official"} <= set(SHIPPED)
    assert next(iter(SHIPPED)) == "official"
    names = [name for one in SHIPPED.values() for name in (one.name, *one.aliases)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("name", "kind"), RECORDS)
def test_record(name: str, kind: str) -> None:
    record = SHIPPED[name].records[kind]
    assert date(2015, 1, 1) < date.fromisoformat(record.date) <= datetime.now(timezone.utc).date()
    assert SOURCE.match(record.source)
    for text in record.limits:
        assert text.endswith(".")
        assert not set(text) & set("{}")
    if record.url is not None:
        assert record.url.startswith("https://")
        assert host_of(record.url) in SHIPPED[name].hosts
        assert record.index == (
            "conda" if kind.startswith("pkgs_") or kind.endswith(("channel", "forge")) else record.index
        )
        assert record.url.endswith("/") is (record.index == "flat" or "Keep the slash" in " ".join(record.limits))
    elif record.status != "none":
        assert (name, kind) == ("official", "pypi")


def test_hosts_are_nobody_elses() -> None:
    hosts = [host for one in SHIPPED.values() for host in one.hosts]
    assert len(hosts) == len(set(hosts))
    for one in SHIPPED.values():
        assert not set(one.redirects) & set(one.hosts)


def test_a_mirror_without_cuda_wheels_is_paired_with_one_that_has_them() -> None:
    for one in SHIPPED.values():
        assert bool(one.pair) is (one.torch_wheels is None)
        assert all(SHIPPED[name].torch_wheels for name in one.pair)


def test_what_the_study_found() -> None:
    assert SHIPPED["tuna"].torch_wheels is None
    assert SHIPPED["tuna"].records["torch_wheels"].status == "none"
    assert SHIPPED["tuna"].nvidia_channel is None
    aliyun = SHIPPED["aliyun"].torch_wheels
    assert aliyun is not None
    assert (aliyun.index, aliyun.at("cu126")) == ("flat", "https://mirrors.aliyun.com/pytorch-wheels/cu126/")
    nju = SHIPPED["nju"].torch_wheels
    assert nju is not None
    assert (nju.index, nju.at("cu126")) == ("pep503", "https://mirror.nju.edu.cn/pytorch/whl/cu126")
    assert SHIPPED["douban"].pypi is None
    assert SHIPPED["huawei"].pkgs_main is None
    assert [one.name for one in SHIPPED.values() if one.nvidia_channel] == ["official", "sustech"]
    assert official().pypi is not None
    assert official().pypi.url is None
    assert official_host() == "download.pytorch.org"
    assert NEVER_ADDED == ("pkgs_free", "pkgs_pro")
    assert "mirrors.bfsu.edu.cn" in SHIPPED["tuna"].no_proxy
    assert [text.msgid for text in SHIPPED["tuna"].texts("pkgs_pro")] == ["It is no longer kept up to date."]


def test_names_aliases_and_suggestions() -> None:
    assert mirror(" TUNA ") is SHIPPED["tuna"]
    assert mirror("tsinghua").name == "tuna"
    assert mirror_of("https://mirror.sjtu.edu.cn/pytorch-wheels/cu126", SHIPPED) is SHIPPED["sjtu"]
    assert mirror_of("https://example.org/simple", SHIPPED) is None
    for word, nearest in (("tnua", "tuna"), ("alyun", "aliyun"), ("tsinghau", "tuna")):
        with pytest.raises(EnvcheckError) as caught:
            mirror(word)
        assert caught.value.mend is not None
        assert caught.value.mend.values == {"name": nearest}
    with pytest.raises(EnvcheckError) as caught:
        mirror("xyz123")
    assert caught.value.mend is not None
    assert "aliyun" in caught.value.mend.values["names"]


OWN = """\
name = "lab"
title = "Our lab"
[pypi]
url = "http://127.0.0.1:8080/simple"
index = "pep503"
status = "live"
confidence = "A"
date = "2026-11-25"
source = "we run it"
"""


def own(folder: Path, text: str, name: str = "lab.toml") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder)


def test_own_folder(tmp_path: Path) -> None:
    found: Mirror = mirror("lab", own(tmp_path, OWN))
    assert not found.ours
    assert found.pypi is not None
    assert found.torch_wheels is None
    own(tmp_path, OWN.replace('"lab"', '"tuna"'), "tuna.toml")
    assert mirror("tuna", str(tmp_path)).title == "Our lab"
    assert mirror("tuna").ours


@pytest.mark.parametrize(
    ("change", "where", "reason"),
    [
        (('title = "Our lab"', "title = Our lab"), "lab.toml:2", "Invalid value"),
        (('name = "lab"', 'name = "bal"'), "lab.toml", "name"),
        (('status = "live"', 'status = "alive"'), "lab.toml", "$.pypi.status"),
        (('date = "2026-11-25"', 'date = "yesterday"'), "lab.toml", "date"),
        (('source = "we run it"', 'source = " "'), "lab.toml", "source"),
        (("http://127.0.0.1:8080", "http://example.org"), "lab.toml", "https"),
        (("[pypi]", "[torch_wheels]"), "lab.toml", "{variant}"),
        (("[pypi]", "[pip]"), "lab.toml", "pip"),
        (('index = "pep503"', 'index = "none"'), "lab.toml", "none"),
        (('title = "Our lab"', 'title = "' + "x" * 70_000 + '"'), "lab.toml", "longer"),
    ],
)
def test_own_file_that_is_refused(tmp_path: Path, change: tuple[str, str], where: str, reason: str) -> None:
    folder = own(tmp_path, OWN.replace(*change))
    with pytest.raises(EnvcheckError) as caught:
        mirrors(folder)
    assert caught.value.where == f"{folder}/{where}"
    assert reason in caught.value.what.values["reason"]


def test_own_folder_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(EnvcheckError, match="no such folder"):
        mirrors(str(tmp_path / "gone"))
    (tmp_path / "dir.toml").mkdir()
    with pytest.raises(EnvcheckError, match="directory"):
        mirrors(str(tmp_path))
    (tmp_path / "dir.toml").rmdir()
    (tmp_path / "bin.toml").write_bytes(b"\xff\xfe\0")
    with pytest.raises(EnvcheckError, match="not a mirror file"):
        mirrors(str(tmp_path))


def test_the_form_that_the_documentation_shows_is_taken(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "docs" / "mirrors.md").read_text(encoding="utf-8")
    shown = text.partition("```toml\n")[2].partition("```")[0]
    found = mirror("lab", own(tmp_path, shown))
    assert found.pypi is not None
    assert found.texts("pypi")[0].msgid == "What to know before using it."


def test_the_documentation_shows_what_use_prints() -> None:
    text = (Path(__file__).parents[1] / "docs" / "mirrors.md").read_text(encoding="utf-8")
    lines = text.partition("```yaml\n")[2].partition("```")[0].splitlines()
    tuna = SHIPPED["tuna"]
    assert tuna.conda_forge is not None
    assert tuna.conda_forge.url == lines[1].split(": ")[1] + "/conda-forge"
    assert tuna.pkgs_main is not None
    assert lines[-1] == f"  - {tuna.pkgs_main.url}"
