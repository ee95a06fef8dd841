"""An exported student over HTTP."""
