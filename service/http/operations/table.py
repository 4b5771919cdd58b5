# SPDX-License-Identifier: MIT
"""The table of operations: the routes and the description of the API are made from it."""

from service.http.operations.commands import COMMANDS
from service.http.operations.queries import QUERIES
from service.http.operations.service import SERVICE

OPERATIONS = (*COMMANDS, *QUERIES, *SERVICE)
UNDESCRIBED = tuple(each for each in OPERATIONS if each.path not in {"/openapi.json", "/docs"})
"""Those of a service that does not publish the description."""
