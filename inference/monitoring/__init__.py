"""What is noted of each analysis for monitoring: spread of values, equipment, scores, times."""
