"""Internal helpers that have nothing to do with images: files, threads, cores, arrays in files, text for terminals."""
