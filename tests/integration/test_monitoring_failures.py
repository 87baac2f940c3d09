"""Answers that are cut, of something else, or for somebody else: nothing of them is stored, and messages say why."""

from collections.abc import Iterator
from functools import partial
from itertools import product

import numpy as np
import pytest

from resources.errors import AnalyticsError, InvalidInput, PermanentFailure, TransientFailure
from resources.monitoring.prometheus import wire
from resources.monitoring.server.failures import Refused
from resources.settings import load_settings
from tests.integration.between import Passed, swapping
from tests.integration.conftest import require
from tests.integration.homes import (
    ALL_WAYS,
    BULK,
    CPU,
    DAY,
    LIST,
    again,
    compute,
    failure,
    home,
    kind_of,
    nothing_changes,
    reading,
    rows,
)
from tests.portal.command import run
from tests.resources.monitoring.prometheus.answers import frame
from tests.resources.monitoring.server.scripted import Close, Script, answer, chunked
from tests.resources.monitoring.server.scripted import failure as failed_with
from tests.servers.loaded import LoadedPrometheus, LoadedVictoriaMetrics
from tests.servers.process import ServerProcess
from tests.servers.victoriametrics import load, victoriametrics
from tests.servers.web_security import PASSWORD, USERNAME, secure

pytestmark = pytest.mark.integration

PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>to go on</body></html>"


@pytest.fixture(scope="module")
def fleet_in_victoriametrics(
    prometheus_simulated: LoadedPrometheus, tmp_path_factory
) -> Iterator[LoadedVictoriaMetrics]:
    require("victoria-metrics")
    with victoriametrics(tmp_path_factory.mktemp("fleet")) as server:
        load(server, prometheus_simulated.series)
        yield LoadedVictoriaMetrics(server, prometheus_simulated.series)


@pytest.fixture
def servers(request, prometheus_simulated: LoadedPrometheus) -> dict[str, ServerProcess]:
    """The same fleet in a server of each kind, shared: not to be stopped."""
    return {
        "prometheus": prometheus_simulated.process,
        "victoriametrics": request.getfixturevalue("fleet_in_victoriametrics").process,
    }


def cuts_of(way: str, body: bytes) -> tuple[list[int], list[int]]:
    """Return where the answer `body` is cut: between its pieces, and within them."""
    between = {
        "remote-read-chunks": lambda: np.cumsum([len(frame(message)) for message in wire.frames(body, "")])[:-1],
        "export": lambda: np.cumsum([len(line) for line in body.splitlines(keepends=True)])[:-1],
    }.get(way, list)()
    return [0, *map(int, between)], sorted({1, len(body) - 1, *np.linspace(2, len(body) - 2, 30).astype(int).tolist()})


@ALL_WAYS
def test_an_answer_cut_anywhere_is_no_answer(servers, way, tmp_path):
    """Stops a cut between two series from being taken for the end: each frame and each line is whole by itself."""
    with swapping(servers[kind_of(way)]) as proxy:
        settings = reading(tmp_path / "home", way, proxy.url)
        whole = compute(settings).sha256
        [bulk] = proxy.of(BULK[way])
        between, within = cuts_of(way, bulk.body)
        assert way not in ("remote-read-chunks", "export") or len(between) >= 28

        def cut_at(position: int, ended: bool) -> Script:
            sent = chunked(bulk.body[:position] or b" ", content_type=bulk.content_type)
            return [sent] if ended else [sent[: -len(b"0\r\n\r\n")], Close()]

        # The connection broke; or somebody in between tidied up, and the answer ends as an answer should.
        for position, ended in [*((at, False) for at in between + within), *((at, True) for at in within)]:
            proxy.swap = lambda one, at=position, ended=ended: (
                cut_at(at, ended) if one.path == BULK[way] else one.unchanged()
            )
            said = failure(settings, PermanentFailure if ended and way == "query" else TransientFailure)
            assert proxy.url in said
            assert CPU in said or "{__name__" in said
            assert ended or "its answer broke off before the end" in said
        asked = len(proxy.of(BULK[way]))
        assert asked == 1 + len(between) + 2 * len(within)
        settings = again(settings, source_attempts=2)
        proxy.swap = lambda one: (
            cut_at(between[-1], False) if len(proxy.of(BULK[way])) == asked + 1 else one.unchanged()
        )
        assert compute(settings).sha256 == whole
        assert len(proxy.of(BULK[way])) == asked + 2


@pytest.mark.parametrize(
    ("way", "content_type"),
    [
        *product(("remote-read-chunks", "remote-read-samples", "export"), ("text/plain", "", "image/png")),
        ("remote-read-chunks", "application/json; charset=utf-8"),
        ("export", "application/x-protobuf"),
    ],
)
def test_an_answer_of_another_type_is_refused(servers, way, content_type, tmp_path):
    """Stops what something else answers from being decoded as if it were samples."""
    swap = partial(replaced, BULK[way], content_type=content_type)
    with swapping(servers[kind_of(way)], swap) as proxy:
        settings = reading(tmp_path / "home", way, proxy.url)
        said = failure(settings, PermanentFailure)
        assert f"{proxy.url} was asked for " in said
        assert f"the answer is {content_type!r} and begins with" in said
        assert "Check that the address is that of a" in said
        assert len(proxy.of(BULK[way])) == 1  # asking again would not help


def replaced(path: str, passed: Passed, *, content_type: str) -> Script:
    return answer(200, passed.body, content_type) if passed.path == path else passed.unchanged()


@ALL_WAYS
def test_the_answer_to_somebody_elses_question_is_refused(servers, way, tmp_path):
    """Stops a proxy that mixes up answers from storing one tenant's samples as another's."""
    with swapping(servers[kind_of(way)]) as proxy:
        settings = reading(tmp_path / "home", way, proxy.url)
        compute(settings, tenant="globex")
        [other] = proxy.of(BULK[way])
        proxy.swap = lambda one: other.unchanged() if one.path == BULK[way] else one.unchanged()
        said = failure(settings, PermanentFailure)
        assert f"{proxy.url}: asked for " in said
        assert "it answered with the series " in said
        assert "globex" in said
        assert "Nothing of this answer was used. Check what lies between" in said


def test_where_remote_read_is_blocked_another_way_is_taken(servers, tmp_path):
    """Stops a gateway that lets only queries through from making a server unreadable."""
    blocked = lambda one: answer(405, PAGE, "text/html") if one.path == "/api/v1/read" else one.unchanged()  # noqa: E731
    with swapping(servers["prometheus"], blocked) as proxy:
        settings = home(tmp_path / "home", "prometheus", proxy.url)
        assert compute(settings).facts.read_methods == ("query",)
        found = rows(settings)
        done = run("source", "check", "--home", settings.home)
        assert "not remote-read-chunks: " in done.out
        assert "HTTP 405 with an HTML page titled 'Sign in'" in done.out
        assert done.code == 0
        proxy.swap = Passed.unchanged
        compute(home(tmp_path / "other", "prometheus", proxy.url))
        assert found.equals(rows(load_settings(tmp_path / "other", {})))


ERRORS = {
    "page": (answer(200, PAGE, "text/html"), PermanentFailure, "titled 'Sign in', so it came from a proxy"),
    "page as JSON": (answer(200, PAGE), PermanentFailure, "HTML page titled 'Sign in'"),
    "error": (failed_with(200, "execution", "expanding series: disk"), PermanentFailure, "expanding series: disk"),
    "timeout": (failed_with(200, "timeout", "query timed out in expression evaluation"), PermanentFailure, "timed out"),
    "busy": (failed_with(200, "internal", "too many outstanding requests"), TransientFailure, "too many outstanding"),
    "gateway": (answer(502, PAGE, "text/html"), TransientFailure, "HTTP 502 with an HTML page titled 'Sign in'"),
    "overload": (answer(429, b"slow down", "text/plain"), TransientFailure, "HTTP 429, 'slow down'"),
    "empty": (answer(200, b""), PermanentFailure, "it is no JSON"),
    "null": (answer(200, b"null"), PermanentFailure, "no status of success or error"),
    "other JSON": (answer(200, b'{"status":"success"}'), PermanentFailure, "it has no data"),
    "other data": (answer(200, b'{"status":"success","data":{}}'), PermanentFailure, "data is not a list of text"),
    "redirect": (answer(302, b"", headers=["Location: https://login.test/x"]), PermanentFailure, "https://login.test"),
}


@pytest.mark.parametrize("way", ["query", "export"])
@pytest.mark.parametrize("wrong", ERRORS)
def test_what_is_no_answer_of_the_server_is_refused(servers, wrong, way, tmp_path):
    """Stops a login page, an error with status 200 or an empty answer from being a day without samples."""
    script, kind, words = ERRORS[wrong]
    with swapping(servers[kind_of(way)]) as proxy:
        settings = reading(tmp_path / "home", way, proxy.url)
        compute(settings)
        proxy.swap = lambda one: script if one.path == LIST else one.unchanged()
        said = failure(settings, kind)
        assert proxy.url in said
        assert "values of vm_id on " in said
        assert words in said
        proxy.swap = lambda one: script if one.path == BULK[way] else one.unchanged()
        if (way, wrong) != ("export", "empty"):  # which is what no series look like
            assert proxy.url in failure(settings, AnalyticsError)


def test_a_login_page_in_place_of_the_server_ends_a_command(servers, tmp_path):
    """Stops a proxy in between from being taken for a server without tenants."""
    with swapping(servers["prometheus"], lambda _: answer(200, PAGE, "text/html")) as proxy:
        settings = home(tmp_path / "home", "prometheus", proxy.url)
        for command in (["run", "collecting", "--from", DAY, "--to", DAY], ["source", "check"]):
            done = run(*command, "--home", settings.home)
            assert (done.code, done.out) == (1, "")
            assert f"error: {proxy.url} refused " in done.err
            assert "titled 'Sign in', so it came from a proxy or another server" in done.err
            assert "Is prometheus_url the metrics server? Does a proxy want a login?" in done.err
    assert not settings.lake_root.exists()


def test_certificates_and_credentials(prometheus_simulated, tmp_path):
    """Stops a secured server from being read without being verified, and wrong secrets from failing without a name."""
    require("openssl")
    password, token = tmp_path / "password", tmp_path / "token"
    password.write_text(PASSWORD + "\n")
    security = secure(tmp_path / "security")
    with prometheus_simulated.another(tmp_path / "own", security=security) as server:
        right = {
            "source_ca_file": str(security.access.ca_file),
            "source_username": USERNAME,
            "source_password_file": str(password),
        }
        settings = home(tmp_path / "home", "prometheus", server.url, **right)
        compute(settings)
        assert run("source", "check", "--home", settings.home).code == 0

        def refused(changes: dict[str, str], kind: type[Exception], *words: str) -> None:
            given = {**right, **changes}
            kept = {name: value for name, value in given.items() if value}
            other = home(tmp_path / f"home-{len(list(tmp_path.iterdir()))}", "prometheus", server.url, **kept)
            said = failure(other, kind)
            done = run("source", "check", "--home", other.home)
            assert done.code == 1
            for text in (said, done.err):
                assert PASSWORD not in text
                assert "secret-token" not in text
                for word in words:
                    assert word in text
            assert not other.lake_root.exists()

        refused({"source_ca_file": ""}, Refused, server.url, "certificate does not verify", "set source_ca_file to")
        stranger = secure(tmp_path / "stranger").access.ca_file
        refused({"source_ca_file": str(stranger)}, Refused, "certificate does not verify", "source_ca_file")
        refused({"source_username": "", "source_password_file": ""}, Refused, "HTTP 401", "No credentials are set: set")
        nobody = {"source_username": "", "source_password_file": "", "source_bearer_token_file": str(token)}
        refused(nobody, InvalidInput, f"source_bearer_token_file {token} cannot be read: No such file", "Mend the path")
        token.write_text("secret-token")
        refused(nobody, Refused, "HTTP 401", "The credentials came from source_bearer_token_file")
        password.write_text("wrong")
        refused({}, Refused, server.url, "HTTP 401", "source_username with source_password_file")
        plain = home(tmp_path / "plain", "prometheus", server.url.replace("https", "http"), source_attempts=3)
        assert "write https:// in prometheus_url" in run("source", "check", "--home", plain.home).err
        password.write_text(PASSWORD)
        with nothing_changes(settings):
            compute(settings)
