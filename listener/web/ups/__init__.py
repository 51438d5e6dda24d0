"""UPS-RS (PS3.18 chapter 11): the worklist by which other systems ask for analyses and see what becomes of them."""
