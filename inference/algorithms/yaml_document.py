"""A YAML document of strangers: whatever is odd in it is one exception, and reading it takes no more than its size.

Aliases and merge keys let a few hundred bytes stand for a billion values, so a document is measured as it would be
written without them, before anything is made of it. A key that is written twice is refused: of two uses or thresholds
a person sees the first one, and YAML's readers take the last.
"""

import yaml

_MOST_VALUES = 500_000  # a document of the largest size that is read has fewer without an alias
_LONGEST_TO_BASE_60 = 100  # characters of a number such as 1:30, which takes time by the square of its length
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class NoYaml(Exception):
    """The bytes are no YAML document, or one that stands for more than its size."""


class KeyTwice(NoYaml):
    """A mapping has a key twice; ``line`` is where it stands the second time, from 1."""

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def yaml_document(content: bytes | str) -> object:
    """The document in the bytes, of plain values only.

    Raises:
        KeyTwice: a key stands twice in one mapping.
        NoYaml: there is none; what is wrong is not repeated, because it may hold anything.
    """
    try:
        loader = yaml.SafeLoader(content)
        root = loader.get_single_node()
        if root is None:
            return None
        _refuse_more_than_written(root)
        document: object = loader.construct_document(root)
    # A number of 5000 digits, a thirteenth month and `!!bool maybe` fail in the constructors, each in its own way.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, ArithmeticError, RecursionError):
        raise NoYaml from None
    return document


def _refuse_more_than_written(root: yaml.Node) -> None:
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        known = sizes.get(id(node))
        if known is not None:
            return known
        sizes[id(node)] = _MOST_VALUES + 1  # what it holds of itself has no end
        if isinstance(node, yaml.MappingNode):
            _refuse_twice(node)
            total = 1 + sum(size(key) + size(value) for key, value in node.value)
        elif isinstance(node, yaml.SequenceNode):
            total = 1 + sum(map(size, node.value))
        elif node.tag in _NUMBERS and ":" in node.value and len(node.value) > _LONGEST_TO_BASE_60:
            raise NoYaml
        else:
            total = 1
        sizes[id(node)] = total
        return total

    if size(root) > _MOST_VALUES:
        raise NoYaml


def _refuse_twice(mapping: yaml.MappingNode) -> None:
    seen = set()
    for key, _ in mapping.value:
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in seen:
                raise KeyTwice(key.start_mark.line + 1)
            seen.add((key.tag, key.value))
