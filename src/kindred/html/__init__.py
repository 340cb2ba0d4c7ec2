"""Self-contained HTML pages: the head of every page, and the page of search results."""
