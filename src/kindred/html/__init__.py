"""Pages that need nothing else: the frame of every HTML page, and the page of answers."""
