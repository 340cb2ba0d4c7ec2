"""The page of `kindred search --html`: the answers with pictures, in one file."""
