# SPDX-License-Identifier: MIT
"""The servers of a comparison: where their code is, and how they are started."""

import subprocess
from pathlib import Path

import pytest

from benchmarks.checkouts import NoCheckout, checkout_of
from benchmarks.compare import main
from benchmarks.contenders.catalogue import ASYNCPG, ROOT, Site
from benchmarks.entrants import entrants
from benchmarks.issuer import Issuer
from benchmarks.plan import HS256

SITE = Site(
    database_url="postgresql://localhost/sessions",
    port=8000,
    issuer=Issuer(HS256, "a secret", secret="a secret"),
    data=Path("data"),
    of_service={},
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a file that its only commit has, and its directory has no longer."""
    path = tmp_path / "repository"
    (path / "service").mkdir(parents=True)
    (path / "service" / "version.txt").write_text("before")
    author = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "Begin"]):
        subprocess.run(["git", "-C", path, *command], check=True)
    (path / "service" / "version.txt").write_text("after")
    return path


def test_a_revision_is_checked_out_and_removed_again(repository: Path) -> None:
    with checkout_of("HEAD", repository) as directory:
        assert (directory / "service" / "version.txt").read_text() == "before"
    assert not directory.exists()
    listed = subprocess.run(
        ["git", "-C", repository, "worktree", "list"], check=True, capture_output=True, text=True
    )
    assert len(listed.stdout.splitlines()) == 1


def test_a_directory_is_used_as_it_is(repository: Path) -> None:
    with checkout_of(str(repository), ROOT) as directory:
        assert directory == repository
    assert (repository / "service" / "version.txt").read_text() == "after"


def test_refuses_what_is_neither_a_directory_nor_a_revision(repository: Path) -> None:
    with (
        pytest.raises(NoCheckout, match="no-such-branch"),
        checkout_of("no-such-branch", repository),
    ):
        pass


def test_another_checkout_is_the_first_server_and_runs_in_its_directory(tmp_path: Path) -> None:
    with entrants(against=[str(tmp_path)]) as [other, this]:
        starts = [each.contender.start and each.contender.start(SITE) for each in (other, this)]
    assert [start and start.directory for start in starts] == [tmp_path, ROOT]
    assert this.title == "service"


def test_variants_follow_the_named_contenders() -> None:
    with entrants(
        contenders=[ASYNCPG],
        variants=[("groups_in_flight", "4")],
        interpreters=["/opt/python"],
    ) as [contender, variant, other_python]:
        start = other_python.contender.start
        assert start
        assert start(SITE).command[0] == "/opt/python"
    assert contender.title == ASYNCPG
    assert (variant.title, variant.settings) == (
        "service, groups_in_flight=4",
        {"groups_in_flight": "4"},
    )


def test_refuses_the_name_of_no_server(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["pgbench"])
    assert "pgbench is none of: service, " in capsys.readouterr().err
