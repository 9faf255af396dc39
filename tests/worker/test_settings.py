"""Settings: documented, strict, and blank means unset."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from api.settings import Settings as ApiSettings
from backhaul.names import QUEUES
from worker.codec_server import CodecSettings
from worker.process import Misconfigured, codec_of, read_settings
from worker.settings import BaseWorkerSettings, Settings, host_and_port

PAGE = Path(__file__).parents[2] / "docs/reference/settings.md"
ROW = re.compile(r"^\| `(BACKHAUL_[A-Z_]+)` \| (.+?) \|", re.MULTILINE)
KINDS: tuple[type[BaseSettings], ...] = (Settings, CodecSettings, ApiSettings)


def fields() -> dict[str, object]:
    """Every setting by its variable, with its default."""
    return {
        f"BACKHAUL_{name.upper()}": (... if field.is_required() else field.get_default(call_default_factory=True))
        for kind in KINDS
        for name, field in kind.model_fields.items()
    }


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in fields():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BACKHAUL_DATABASE_URL", "sqlite:///b.db")


def test_every_setting_is_documented_and_nothing_else() -> None:
    documented = ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert len(documented) == len({name for name, _ in documented})
    assert {name for name, _ in documented} == set(fields())


def test_documented_defaults_are_the_codes() -> None:
    ours = fields()
    for name, text in ROW.findall(PAGE.read_text(encoding="utf-8")):
        default = ours[name]
        if text == "required":
            assert default is ... or not default, name
        elif text == "none":
            assert not default, name
        elif isinstance(default, bool):
            assert text == f"`{str(default).lower()}`", name
        elif isinstance(default, float):
            assert float(text.strip("`")) == default, name
        else:
            assert text == f"`{','.join(default) if isinstance(default, tuple) else default}`", name


def test_blank_means_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in fields().keys() - {"BACKHAUL_DATABASE_URL"}:
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("BACKHAUL_METRICS_ADDRESS", " ")
    monkeypatch.setenv("BACKHAUL_PAYMENTS_PER_SECOND", "  ")
    monkeypatch.setenv("BACKHAUL_PAYMENTS__TIMEOUT_S", "")
    settings = read_settings(Settings)
    assert settings == Settings(database_url="sqlite:///b.db")
    assert settings.queues == QUEUES
    assert codec_of(settings) is None
    read_settings(CodecSettings)


def test_providers_as_json_and_field_by_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKHAUL_COURIERS", '{"sandbox": {"url": "http://c", "token": "t1"}}')
    monkeypatch.setenv("BACKHAUL_PAYMENTS", '{"url": "http://p", "token": "t2", "timeout_s": 2}')
    monkeypatch.setenv("BACKHAUL_INSURER__URL", "http://i")
    monkeypatch.setenv("BACKHAUL_INSURER__TOKEN", "t3")
    monkeypatch.setenv("BACKHAUL_NOTICES", '{"url": "http://n", "token": "t4"}')
    settings = read_settings(Settings)
    providers = settings.gateways()
    assert providers.couriers["sandbox"].url == "http://c"
    assert (providers.payments.token, providers.payments.timeout_s) == ("t2", 2)
    assert (providers.insurer.url, providers.insurer.token, providers.insurer.timeout_s) == ("http://i", "t3", 8)
    assert providers.notices.url == "http://n"
    assert "t3" not in repr(settings)
    assert "t3" not in repr(providers)


def test_missing_providers_are_named() -> None:
    with pytest.raises(ValueError, match="BACKHAUL_COURIERS, BACKHAUL_PAYMENTS, BACKHAUL_INSURER, BACKHAUL_NOTICES"):
        read_settings(Settings).gateways()


def test_queues_are_split_and_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKHAUL_QUEUES", "backhaul-couriers, backhaul")
    assert read_settings(Settings).queues == ("backhaul-couriers", "backhaul")
    for wrong in ("backhaul-cuoriers", ",", "backhaul,backhaul"):
        monkeypatch.setenv("BACKHAUL_QUEUES", wrong)
        with pytest.raises(Misconfigured, match="queues are one or more"):
            read_settings(Settings)


def test_trouble_names_the_variable_and_not_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKHAUL_HEALTH_ADDRESS", "hunter2")
    with pytest.raises(Misconfigured, match="BACKHAUL_HEALTH_ADDRESS") as raised:
        read_settings(Settings)
    assert "hunter2" not in str(raised.value)
    monkeypatch.delenv("BACKHAUL_DATABASE_URL")
    with pytest.raises(Misconfigured, match="BACKHAUL_DATABASE_URL: Field required"):
        read_settings(Settings)


def test_codec_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    key = base64.b64encode(bytes(32)).decode()
    monkeypatch.setenv("BACKHAUL_CODEC_KEYS", f"k1:{key}")
    settings = read_settings(BaseWorkerSettings)
    assert codec_of(settings) is not None
    assert key not in repr(settings)
    monkeypatch.setenv("BACKHAUL_CODEC_KEYS", "k1:abc")
    with pytest.raises(Misconfigured, match="BACKHAUL_CODEC_KEYS"):
        codec_of(read_settings(BaseWorkerSettings))


def test_addresses() -> None:
    assert host_and_port("127.0.0.1:0") == ("127.0.0.1", 0)
    assert host_and_port("[::1]:80") == ("::1", 80)
