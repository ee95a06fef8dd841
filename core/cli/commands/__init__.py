"""One module a command, each with `SUMMARY`, `configure(parser)` and `run(args, out)`."""
