"""What lies inside of files, as far as an engine that cuts it without a word would not see it."""
