"""What can be said of a run before it runs: at no cost, at a closer look, or by asking servers."""
