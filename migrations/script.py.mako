# SPDX-License-Identifier: MIT
"""${message}."""

from alembic import op

revision = "${up_revision}"
down_revision = ${f'"{down_revision}"' if down_revision else None}

UPGRADE = ("SET LOCAL lock_timeout = '1s'",)

DOWNGRADE = ("SET LOCAL lock_timeout = '1s'",)


def upgrade() -> None:
    for statement in UPGRADE:
        op.execute(statement)


def downgrade() -> None:
    for statement in DOWNGRADE:
        op.execute(statement)
