"""POST /sessions/{sessionId}/fail, one test for each promised answer."""

from tests.running import App, TestDatabase


async def test_returns_200_and_the_failed_session(app: App, database: TestDatabase) -> None:
    session = await database.a_session()

    response = await app.fail(session, reason="shoulder pain")

    assert response.status_code == 200
    assert response.json()["data"]["session"]["status"] == "failed"
