"""The plots of a comparison, each a drawing with its alternative text and its caption."""
