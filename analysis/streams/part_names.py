"""Names of the parts of a stream where they stand beside the words of tables and figures."""

import re

WORDS = "norm|source|stream|layer|part|last tenth"  # heads of columns, and the line of the source


def part_name(part: str) -> str:
    """Name a part so that it is no other column: "part source" for a part called "source".

    Example:
        >>> part_name("source"), part_name("fog 3")
        ('part source', 'fog 3')
    """
    return f"part {part}" if re.fullmatch(f"(part )*({WORDS})", part) else part
