"""HandMIM and iBOT: a student learns from its own moving average (the teacher) on masked images."""
