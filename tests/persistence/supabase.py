# SPDX-License-Identifier: MIT
"""A database like that of a new Supabase project.

It has the roles of the API, the schema of the auth service, and default privileges that grant these
roles everything. The owner of the project is not a superuser.
"""

from pydantic import SecretStr

from service.bootstrap.settings import DatabaseSettings
from service.persistence.roles import ROLES
from tests.running import TestDatabase

API_ROLES = ("anon", "authenticated", "service_role")
SUPABASE_ROLES = (*API_ROLES, "supabase_auth_admin")
PROJECT_OWNER = "project_owner_of_tests"

_MAKE_ROLE = """
    DO $$ BEGIN CREATE ROLE {name} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$
"""
_SUPABASE = f"""
    CREATE SCHEMA auth AUTHORIZATION supabase_auth_admin;
    GRANT USAGE ON SCHEMA auth TO {", ".join(API_ROLES)}, {PROJECT_OWNER};
    CREATE TABLE auth.users (id uuid PRIMARY KEY, email text);
    ALTER TABLE auth.users OWNER TO supabase_auth_admin;
    GRANT ALL ON auth.users TO {PROJECT_OWNER};
    CREATE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$
        SELECT coalesce(
            nullif(current_setting('request.jwt.claim.sub', true), ''),
            nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
        )::uuid
    $$;
    ALTER FUNCTION auth.uid() OWNER TO supabase_auth_admin;
    GRANT ALL ON SCHEMA public TO {PROJECT_OWNER};
    ALTER DEFAULT PRIVILEGES FOR ROLE {PROJECT_OWNER} IN SCHEMA public
        GRANT ALL ON TABLES TO {", ".join(API_ROLES)};
    ALTER DEFAULT PRIVILEGES FOR ROLE {PROJECT_OWNER} IN SCHEMA public
        GRANT ALL ON FUNCTIONS TO {", ".join(API_ROLES)};
    ALTER DEFAULT PRIVILEGES FOR ROLE {PROJECT_OWNER} IN SCHEMA public
        GRANT ALL ON SEQUENCES TO {", ".join(API_ROLES)};
"""


async def make_supabase(database: TestDatabase) -> None:
    for name in (*SUPABASE_ROLES, *ROLES):
        await database.execute(_MAKE_ROLE.format(name=name))
    password = database.cluster.password
    await database.execute(f"CREATE ROLE {PROJECT_OWNER} LOGIN CREATEROLE PASSWORD '{password}'")
    # The roles exist on this server already; roles that the owner had created, it could grant.
    for role in ROLES:
        await database.execute(f"GRANT {role} TO {PROJECT_OWNER} WITH ADMIN OPTION")
        if await database.value("SELECT current_setting('server_version_num')::int >= 160000"):
            await database.execute(f"GRANT {role} TO {PROJECT_OWNER} WITH INHERIT FALSE, SET FALSE")
    await database.execute(_SUPABASE)


async def drop_project_owner(database: TestDatabase) -> None:
    for role in ROLES:
        await database.execute(f"REVOKE {role} FROM {PROJECT_OWNER} CASCADE")
    await database.execute(f"DROP OWNED BY {PROJECT_OWNER} CASCADE")
    await database.execute(f"DROP ROLE {PROJECT_OWNER}")


def as_project_owner(database: TestDatabase) -> DatabaseSettings:
    url = database.cluster.login_url(PROJECT_OWNER, database.name)
    return DatabaseSettings(database_url=SecretStr(url))
