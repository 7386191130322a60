"""The report: its sections, settings, style and HTML."""
