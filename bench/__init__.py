"""The same work on Wharf and on a peer, in turns in one run; medians and ratios are printed, nothing fails on time."""
