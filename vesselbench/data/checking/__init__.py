"""Every image, mask and record of a data set looked at before training; pictures of what is wrong."""
