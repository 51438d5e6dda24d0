"""Rows as JSON can carry them."""

from typing import Any

Facts = dict[str, Any]  # a row, or several; times are ISO 8601 in UTC
