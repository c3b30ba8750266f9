"""Figures and pages: functions that return a figure, an image or HTML, and never save it."""
