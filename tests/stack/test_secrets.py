"""Secrets are made once and readable by their owner alone."""

from include.settings import settings
from stack import supervisor
from stack.layout import make_folders
from stack.secrets import SECRETS, make_secrets
from stack.services import SERVICES


def test_secrets_are_made_once_and_private():
    make_folders()
    make_secrets()
    first = {name: (settings.secrets_dir / name).read_text() for name in SECRETS}
    make_secrets()

    assert {name: (settings.secrets_dir / name).read_text() for name in SECRETS} == first
    assert settings.secrets_dir.stat().st_mode & 0o777 == 0o700
    assert {(settings.secrets_dir / name).stat().st_mode & 0o777 for name in SECRETS} == {0o600}


def test_no_secret_stands_in_a_command_line_or_in_the_supervisors_file():
    make_folders()
    make_secrets()
    secrets = [(settings.secrets_dir / name).read_text().strip() for name in SECRETS]
    texts = [supervisor.configuration(), *(" ".join(service.command()) for service in SERVICES.values())]

    assert [text for text in texts for value in secrets if value in text] == []
