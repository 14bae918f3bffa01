"""How results and long work look on a terminal: tables, bars and lines."""
