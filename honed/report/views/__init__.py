"""How the experiments of a suite are shown: one file for each kind of experiment."""
