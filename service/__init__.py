# SPDX-License-Identifier: MIT
"""The service of training sessions."""

__version__ = "0.1.0"
