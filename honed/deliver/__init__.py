"""A tuned model as a folder of files that runs without honed and checks its own promises."""
