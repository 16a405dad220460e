"""Reports and Data Docs are read by people who are logged in, and nothing else is."""

import pytest
from fastapi.testclient import TestClient

from plugins.views import evidence
from plugins.views.by_run import remember


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A state folder with one report, one page of Data Docs and one secret."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "s3_secret_key").write_text("top secret")
    (tmp_path / "reports" / "energypack").mkdir(parents=True)
    (tmp_path / "reports" / "energypack" / "v1.html").write_text("<h1>Closed</h1>")
    (tmp_path / "reports" / "way-out.html").symlink_to(tmp_path / "secrets" / "s3_secret_key")
    (tmp_path / "data_docs" / "energypack").mkdir(parents=True)
    (tmp_path / "data_docs" / "energypack" / "index.html").write_text("<h1>Docs</h1>")
    monkeypatch.setattr(evidence, "settings", settings := FakeSettings(tmp_path))
    monkeypatch.setattr("plugins.views.by_run.settings", settings)
    return tmp_path


class FakeSettings:
    def __init__(self, state_dir):
        self.reports_dir, self.data_docs_dir = state_dir / "reports", state_dir / "data_docs"


@pytest.fixture
def stranger(folders) -> TestClient:
    return TestClient(evidence.app, follow_redirects=False)


@pytest.fixture
def reader(folders):
    evidence.app.dependency_overrides[evidence.reader] = lambda: "jo"
    yield TestClient(evidence.app, follow_redirects=False)
    evidence.app.dependency_overrides.clear()


@pytest.mark.parametrize(
    "path", ["/", "/reports/energypack/v1.html", "/data_docs/energypack/index.html", "/run/a_dag/a_run"]
)
def test_without_a_login_nothing_is_shown(stranger, path):
    assert stranger.get(path).status_code == 401
    browser = stranger.get(path, headers={"accept": "text/html"})
    assert browser.status_code == 307
    assert browser.headers["location"].startswith("/auth/login")


def test_a_forged_token_is_no_login(stranger):
    stranger.cookies.set("_token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.")

    with pytest.raises(Exception, match="Auth Manager"):  # no auth manager runs here: the token was taken to it
        stranger.get("/reports/energypack/v1.html")


def test_a_reader_sees_the_report_and_no_script_in_it_runs(reader):
    page = reader.get("/reports/energypack/v1.html")

    assert (page.status_code, page.text) == (200, "<h1>Closed</h1>")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none';") and "script-src" not in policy
    assert "form-action 'none'" in policy


@pytest.mark.parametrize(
    "path",
    [
        "/reports/../secrets/s3_secret_key",
        "/reports/%2e%2e/secrets/s3_secret_key",
        "/reports/energypack/..%2f..%2fsecrets/s3_secret_key",
        "/reports/way-out.html",  # a link that leads outside
        "/reports//etc/passwd",
        "/reports/energypack/v1.html%00.png",
        "/secrets/s3_secret_key",
        "/reports/energypack",
        "/data_docs/energypack/..%2f..%2fsecrets%2fs3_secret_key",
    ],
)
def test_no_path_leads_out_of_the_two_folders(reader, path):
    answer = reader.get(path)

    assert answer.status_code == 404
    assert "top secret" not in answer.text


def test_the_tab_of_a_run_shows_its_own_report(reader, folders):
    assert reader.get("/run/a_dag/scheduled__2026-01-01T00:00:00+00:00").status_code == 404

    remember("a_dag", "scheduled__2026-01-01T00:00:00+00:00", folders / "reports" / "energypack" / "v1.html")

    assert reader.get("/run/a_dag/scheduled__2026-01-01T00:00:00+00:00").text == "<h1>Closed</h1>"
    assert reader.get("/run/another_dag/scheduled__2026-01-01T00:00:00+00:00").status_code == 404


def test_nothing_can_be_written(reader):
    for call in (reader.post, reader.put, reader.delete):
        assert call("/reports/energypack/v1.html").status_code == 405
