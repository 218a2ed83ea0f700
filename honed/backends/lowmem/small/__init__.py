"""The streaming schedule in numpy alone, for machines where the whole process counts."""
