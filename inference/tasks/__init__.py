"""What an algorithm does with an accepted series, one module per task: from its images to findings and evidence."""
