# SPDX-License-Identifier: MIT
"""Found in place of rich, which the tools of the tests need and the service does not have.

structlog imports rich where it can: 0.2 s of each process that the tests start.
"""

raise ModuleNotFoundError("rich is no dependency of the service", name="rich")
