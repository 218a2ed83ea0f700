"""ci: files with which a project's own CI tells whether a change makes a model slower."""
