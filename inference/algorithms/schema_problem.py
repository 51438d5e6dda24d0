"""What a document has that its schema does not allow, in the words of who wrote the document."""

from pydantic import ValidationError


def first_problem(error: ValidationError, skipped: int = 0) -> str:
    """Where the first problem is and what it is, such as ``outputs.segments.0.number: Input should be …``.

    ``skipped`` steps of the place are left out, such as the task, which the document does not nest by. Lists count
    from 0. What was written is not repeated.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"][skipped:])) or "the document"
    if first["type"] == "extra_forbidden":
        return f"{where}: there is no such key"
    return f"{where}: {first['msg'].removeprefix('Value error, ')}"
