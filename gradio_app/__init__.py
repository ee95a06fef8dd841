"""The page: six linked views over a project. It draws what `inficond.core` returns and computes nothing."""
