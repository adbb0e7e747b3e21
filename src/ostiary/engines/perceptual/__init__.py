"""Images that look like known ones (PDQ)."""
