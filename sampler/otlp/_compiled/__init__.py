"""The compiled scanner (Cython). Absent where no C compiler was at hand at install time."""
