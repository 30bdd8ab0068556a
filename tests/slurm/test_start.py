"""Training across the nodes of an allocation: what is on the command line is what runs, and both MPIs give the same bits."""
