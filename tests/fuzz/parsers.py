"""All parsers, registered by import."""

from tests.fuzz import model_parsers, page_parsers, project_parsers, table_parsers, tuning_parsers
from tests.fuzz.registry import MAKERS, parser_of

__all__ = ["MAKERS", "WHERE", "parser_of"]

WHERE = (model_parsers, page_parsers, project_parsers, table_parsers, tuning_parsers)
