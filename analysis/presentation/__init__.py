"""How results are shown: sections, figures and the HTML page."""
