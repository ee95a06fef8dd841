"""Scripts and styles that all views share, loaded into the page by `theme`."""
