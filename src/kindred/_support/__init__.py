"""What everything else stands on and what knows nothing of images: files, threads, cores, arrays in files."""
