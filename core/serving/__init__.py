"""An exported student over HTTP: routes, limits, decoding, health, listening sockets."""
