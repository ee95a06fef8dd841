"""Commands that open the page."""
