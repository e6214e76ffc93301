"""Who acts: upstream models over HTTP, and the simulated backends of the demo, which say that they are simulated."""
