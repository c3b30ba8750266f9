"""Figures only: functions that return a picture and never save it."""
