# SPDX-License-Identifier: MIT
"""Environment variables of libpq: those that protect a connection count, all others do not.

The URL alone says where it leads: a variable that is meant for `psql` must not lead the service to
another server in silence. The driver reads `PGPASSWORD` itself if the URL has no password.
"""

from collections.abc import Collection, Mapping

PROTECTING = {
    "PGSSLMODE": "sslmode",
    "PGSSLROOTCERT": "sslrootcert",
    "PGSSLCERT": "sslcert",
    "PGSSLKEY": "sslkey",
    "PGSSLCRL": "sslcrl",
    "PGSSLCRLDIR": "sslcrldir",
    "PGSSLCERTMODE": "sslcertmode",
    "PGSSLSNI": "sslsni",
    "PGSSLNEGOTIATION": "sslnegotiation",
    "PGSSLMINPROTOCOLVERSION": "ssl_min_protocol_version",
    "PGSSLMAXPROTOCOLVERSION": "ssl_max_protocol_version",
    "PGREQUIRESSL": "requiressl",
    "PGREQUIREAUTH": "require_auth",
    "PGREQUIREPEER": "requirepeer",
    "PGMINPROTOCOLVERSION": "min_protocol_version",
    "PGCHANNELBINDING": "channel_binding",
    "PGGSSENCMODE": "gssencmode",
    "PGKRBSRVNAME": "krbsrvname",
    "PGGSSLIB": "gsslib",
    "PGPASSFILE": "passfile",
}

IGNORED = (
    "PGHOST",
    "PGHOSTADDR",
    "PGPORT",
    "PGUSER",
    "PGDATABASE",
    "PGSERVICE",
    "PGTARGETSESSIONATTRS",
    "PGLOADBALANCEHOSTS",
    "PGOPTIONS",
    "PGAPPNAME",
    "PGCONNECT_TIMEOUT",
    "PGCLIENTENCODING",
    "PGSSLCOMPRESSION",
    "PGGSSDELEGATION",
    "PGMAXPROTOCOLVERSION",
)


def protecting_parameters(environment: Mapping[str, str]) -> dict[str, str]:
    """Values by the names of the parameters for which they count."""
    return {
        parameter: environment[variable]
        for variable, parameter in PROTECTING.items()
        if environment.get(variable)
    }


def variables_of(parameters: Collection[str]) -> list[str]:
    return [variable for variable, name in PROTECTING.items() if name in parameters]


def ignored_variables(environment: Mapping[str, str]) -> list[str]:
    return [variable for variable in IGNORED if environment.get(variable)]
