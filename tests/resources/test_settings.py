"""Settings: where a value comes from, and that a wrong one stops the start and says where it was set."""

from datetime import date
from pathlib import Path

import pytest

from resources.errors import InvalidInput
from resources.monitoring.server.connection import Connection
from resources.settings import FILE_NAME, Settings, describe_range, given_settings, load_settings, shown


@pytest.fixture
def home(tmp_path) -> Path:
    return tmp_path


def write(home: Path, text: str) -> None:
    (home / FILE_NAME).write_text(text)


def test_defaults_hold_where_nothing_is_set(home):
    settings = load_settings(home, {})
    assert settings == Settings(home=home)
    assert (settings.lake_root, settings.dagster_home) == (home / "lake", home / "dagster")


def test_the_environment_beats_the_file(home):
    write(home, "query_max_rows = 5\nquery_threads = 3\n")
    settings = load_settings(home, {"ANALYTICS_QUERY_MAX_ROWS": "7"})
    assert (settings.query_max_rows, settings.query_threads) == (7, 3)
    given = given_settings(home, {"ANALYTICS_QUERY_MAX_ROWS": "7"})
    assert given["query_max_rows"] == ("7", "environment variable ANALYTICS_QUERY_MAX_ROWS")
    assert given["query_threads"] == (3, str(home / FILE_NAME))


def test_the_option_beats_the_environment(home):
    write(home, "query_threads = 3\n")
    settings = load_settings(home, {"ANALYTICS_HOME": "/nowhere"})
    assert (settings.home, settings.query_threads) == (home, 3)
    assert given_settings(home, {})["home"] == (str(home), "--home")


def test_the_home_of_the_environment_and_of_nobody(home, monkeypatch):
    assert load_settings(None, {"ANALYTICS_HOME": str(home)}).home == home
    monkeypatch.chdir(home)
    assert load_settings(None, {}).home == home / "novacron-home"
    monkeypatch.setenv("HOME", str(home))
    assert load_settings(Path("~/mine"), {}).home == home / "mine"


def test_the_process_environment_is_the_default(home, monkeypatch):
    monkeypatch.setenv("ANALYTICS_QUERY_THREADS", "9")
    assert load_settings(home).query_threads == 9


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"ANALYTICS_NOTHING": "1"}, "setting nothing (environment variable ANALYTICS_NOTHING) does not exist"),
        ({"ANALYTICS_QUERY_THREADS": "many"}, "setting query_threads = 'many' (environment variable"),
        ({"ANALYTICS_QUERY_THREADS": "0"}, "Allowed: 1 to 256"),
        ({"ANALYTICS_QUERY_THREADS": ""}, "query_threads = ''"),
        ({"ANALYTICS_QUERY_THREADS": "1.5"}, "query_threads = '1.5'"),
        ({"ANALYTICS_MINIMUM_COVERAGE": "nan"}, "Allowed: 0 to 1"),
        ({"ANALYTICS_SOURCE": "influx"}, "Allowed: files, simulated, prometheus, victoriametrics"),
        ({"ANALYTICS_PROMETHEUS_URL": "prometheus:9090"}, "such as http://prometheus:9090"),
        ({"ANALYTICS_SOURCE_HEADERS": "X-Scope-OrgID: a"}, "it is not a JSON object"),
        ({"ANALYTICS_SOURCE_HEADERS": '["a"]'}, "it is not a table of names and texts"),
        ({"ANALYTICS_SOURCE_READ_TIMEOUT_SECONDS": "0"}, "Allowed: above 0, up to 3600"),
        ({"ANALYTICS_RESOLUTION_SECONDS": "420"}, "an hour must be a whole number of buckets"),
        ({"ANALYTICS_SIMULATED_INTERVAL_SECONDS": "7"}, "a day must be a whole number of samples"),
        ({"ANALYTICS_FIRST_DAY": "2026-02-30"}, "'2026-02-30' is not a day"),
        ({"ANALYTICS_SIMULATED_FIRST_DAY": "20260301"}, "'20260301' is not a day"),
        ({"ANALYTICS_ASSET_OWNER": "somebody"}, "text that matches"),
        ({"ANALYTICS_HOME": ""}, "setting home = '' (environment variable ANALYTICS_HOME) is no folder"),
        ({"ANALYTICS_HOME": "~nobody-of-this-name/x"}, "setting home = '~nobody-of-this-name/x' (environment"),
        ({"ANALYTICS_": "1"}, "setting  (environment variable ANALYTICS_) does not exist"),
    ],
)
def test_a_wrong_variable_is_named_with_its_value_and_range(environment, said):
    with pytest.raises(InvalidInput) as caught:
        load_settings(None, environment)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nothing = 1", "setting nothing ({file}) does not exist. Settings are: asset_owner"),
        ("[query]\nthreads = 1", "setting query ({file}) does not exist"),
        ("query_threads = 'many'", "setting query_threads = 'many' ({file}) is wrong"),
        ("query_threads = true", "true and false are not values of it"),
        ("query_threads = [1]", "query_threads = [1]"),
        ("minimum_coverage = true", "true and false are not values of it"),
        ("first_day = 5", "it is not a day"),
        ("first_day = 2026-03-01T12:00:00", "first_day = datetime"),
        ("source = 5", "source = 5"),
        ("home = '/elsewhere'", "{file} sets home, but lies in it"),
        ("query_threads = ", "{file} is not TOML"),
        ("query_threads = 0\nquery_max_rows = 0", "query_max_rows = 0"),
    ],
)
def test_a_wrong_line_of_the_file_is_named(home, text, said):
    write(home, text)
    with pytest.raises(InvalidInput) as caught:
        load_settings(home, {})
    assert said.format(file=home / FILE_NAME) in str(caught.value)


def test_every_wrong_setting_is_named_at_once(home):
    write(home, "query_threads = 0\nquery_max_rows = 0\n")
    with pytest.raises(InvalidInput) as caught:
        load_settings(home, {})
    assert len(str(caught.value).splitlines()) == 2


def test_a_file_that_cannot_be_read(home):
    (home / FILE_NAME).mkdir()
    with pytest.raises(InvalidInput, match=r"cannot read .*analytics\.toml"):
        load_settings(home, {})


def test_a_file_that_is_no_text(home):
    (home / FILE_NAME).write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="cannot read"):
        load_settings(home, {})


def test_a_home_that_is_a_file(home):
    (home / "file").write_text("")
    with pytest.raises(InvalidInput, match="cannot read"):
        load_settings(home / "file", {})


def test_a_day_in_toml_and_as_text_are_the_same(home):
    write(home, "first_day = 2026-03-01\nsimulated_first_day = '2026-03-02'\n")
    settings = load_settings(home, {})
    assert (settings.first_day, settings.simulated_first_day) == (date(2026, 3, 1), date(2026, 3, 2))


@pytest.mark.parametrize("name", list(Settings.model_fields))
def test_every_setting_is_described_with_its_range(name):
    assert Settings.model_fields[name].description
    assert describe_range(name) not in ("", "string", "integer", "number")


def test_a_secret_of_a_wrong_setting_is_not_shown(home):
    """Stops a password in an address, or a header's value, from reaching a terminal or a log."""
    for name, value in (
        ("PROMETHEUS_URL", "http://operator:hunter2@prometheus:9090"),
        ("PROMETHEUS_URL", "http://prometheus:9090/?token=hunter2"),
        ("PROMETHEUS_URL", "http://operator:one/hunter2@prometheus:9090"),
        ("PROMETHEUS_URL", "http://operator:hunter2?two@prometheus:9090"),
        ("VICTORIAMETRICS_URL", "operator:hunter2@victoria:8428"),
        ("SOURCE_HEADERS", '{"X-Key": 5, "X-Other": "hunter2"}'),
        ("SOURCE_HEADERS", "hunter2"),
        ("SOURCE_PASSWORD", "hunter2"),
        ("SOURCE_BEARER_TOKEN", "hunter2"),
        ("PROMETHEUS_PASSWORD", "hunter2"),
    ):
        with pytest.raises(
            InvalidInput, match=f"setting {name.lower()} .*environment variable ANALYTICS_{name}"
        ) as caught:
            load_settings(home, {f"ANALYTICS_{name}": value})
        assert "hunter2" not in str(caught.value)
    for text in (
        'source_password = "hunter2"',
        '[prometheus]\npassword = "hunter2"',
        'prometheus_url = ["http://operator:hunter2@prometheus:9090"]',
        'libvirt_uri = ["qemu+tls://operator:hunter2@node/system"]',
        'source_headers = ["X-Key: hunter2"]',
        'source_headers = [["X-Key", "hunter2"]]',
        'source_headers = [["X-Key", "hunter2"], 5]',
        'source_headers = [[["hunter2"], "hunter2"], 5]',
        'source_headers = "hunter2"',
        "source_headers = 5",
        'source_headers = {X-Key = "hunter2", X-Other = 5}',
    ):
        write(home, text)
        with pytest.raises(InvalidInput, match=r"setting .*analytics\.toml") as caught:
            load_settings(home, {})
        assert "hunter2" not in str(caught.value)


def test_a_secret_in_its_own_setting_is_sent_to_a_file(home):
    """Stops one who set a password directly from reading a list of all settings for the one that takes a file."""
    for name in ("source_password", "source_bearer_token", "source_ca"):
        with pytest.raises(InvalidInput, match=f"into a file, and set {name}_file to the path of that file"):
            load_settings(home, {f"ANALYTICS_{name.upper()}": "hunter2"})


def test_a_secret_of_a_right_setting_is_not_shown(home):
    """Stops what a header or a libvirt address holds from being printed with the settings in force."""
    given = {"SOURCE_HEADERS": '{"X-Key": "hunter2"}', "LIBVIRT_URI": "qemu+tls://op:hunter2@node/system?pin=hunter2"}
    settings = load_settings(home, {f"ANALYTICS_{name}": value for name, value in given.items()})
    assert "hunter2" not in repr(settings)
    plain = settings.model_dump(mode="json")
    assert shown("source_headers", plain["source_headers"]) == {"X-Key": "***"}
    assert shown("libvirt_uri", plain["libvirt_uri"]) == "qemu+tls://***@node/system?***"
    assert shown("libvirt_uri", "qemu+ssh://node/system") == "qemu+ssh://node/system"
    assert [shown(name, plain[name]) for name in ("prometheus_url", "source_attempts")] == [None, 5]


def test_a_query_has_the_time_that_prometheus_gives_it():
    """Stops our own silence from ending a query before the server says that it took too long."""
    assert Settings().source_read_timeout_seconds == Connection("http://prometheus").read_timeout_seconds > 120


def test_tables_come_alike_from_the_file_and_the_environment(home):
    """Stops the order of a table's lines, or where it was written, from changing what it says."""
    write(home, "[source_headers]\nX-B = '2'\nX-A = '1'\n")
    assert load_settings(home, {}).source_headers == (("X-A", "1"), ("X-B", "2"))
    assert load_settings(home, {"ANALYTICS_SOURCE_HEADERS": '{"X-C": "3"}'}).source_headers == (("X-C", "3"),)


def test_a_relative_file_lies_in_the_home(home):
    """Stops a daemon started elsewhere from looking for the token in its own folder."""
    write(home, "source_bearer_token_file = 'token'\n")
    assert load_settings(home, {}).source_bearer_token_file == home / "token"
