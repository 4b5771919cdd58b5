# SPDX-License-Identifier: MIT
"""Looks at a configuration and its servers as `serve` and `relay` would, and says what to do."""
