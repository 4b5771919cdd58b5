# SPDX-License-Identifier: MIT
"""Direct connections to the servers of this machine, for tests and benchmarks."""

import os


def connect_directly() -> None:
    """Removes the proxies from the environment of this process and of those that it starts.

    Most clients of HTTP would ask them even for this machine.
    """
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
