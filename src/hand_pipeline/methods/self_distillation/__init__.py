"""HandMIM and iBOT: a student that imitates its averaged self on masked images."""
