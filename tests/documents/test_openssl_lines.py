# SPDX-License-Identifier: MIT
"""openssl lines of the pages, run in a shell."""

import shlex
from uuid import UUID

from service.bootstrap.pseudonyms import Pseudonyms
from tests.documents.blocks import block
from tests.documents.console import shown_in, typed


async def test_the_name_of_a_user_in_the_log_is_what_the_page_computes() -> None:
    [shown] = shown_in(block("docs/configuration.md", "$ printf %s"))
    user, key = shlex.split(shown.script)[2], "k" * 32

    output = await typed(f"SERVICE_LOG_USER_KEY={key}\n{shown.script}")

    assert output.strip() == Pseudonyms(key)(UUID(user))
