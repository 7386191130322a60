"""A terminal that a test can read."""

import io


class Terminal(io.StringIO):
    """A terminal of which the lines can be read as a person sees them."""

    def isatty(self):
        """Return that it is one."""
        return True

    def lines(self):
        """Return the lines after all of the text, which may move up and go back."""
        rows, row, column = [""], 0, 0
        text = self.getvalue().replace("\x1b[A", "\v")
        for letter in text:
            if letter == "\r":
                column = 0
            elif letter == "\v":
                row -= 1
            elif letter == "\n":
                row, column = row + 1, 0
                rows += [""] * (row == len(rows))
            else:
                line = rows[row].ljust(column)
                rows[row] = line[:column] + letter + line[column + 1 :]
                column += 1
        return [line.rstrip() for line in rows if line]
