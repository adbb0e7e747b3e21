"""Hasher-Matcher-Actioner over HTTP: images and videos that look like known ones."""
